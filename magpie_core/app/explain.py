"""Use case: show what each expert of the network responded to in a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magpie_core.app.explanation import ExplainRequest, ExplainResult
from magpie_core.app.segment import predict
from magpie_core.app.session import Session
from magpie_core.errors import InputError, MagpieError
from magpie_core.progress import Progress, no_progress, part_of

if TYPE_CHECKING:
    from magpie_core.experts.attention import AttentionPoint
    from magpie_core.experts.expert_maps import ExpertMaps
    from magpie_core.imaging.segmentation import Segmentation
    from magpie_core.imaging.study import Study
    from magpie_core.inference.prediction import Prediction
    from magpie_core.models.model import Model
    from magpie_core.preprocessing.template_registration import TemplateAlignment

_SAME_GRID_MM = 0.05


def explain(
    request: ExplainRequest, *, session: Session | None = None, progress: Progress = no_progress
) -> ExplainResult:
    """Segment a study, map its experts, compare them with the regions, and write what is asked for.

    Raises:
        InputError: If the study cannot be read, the labels lie on another grid, the model has no experts or no such
            layer, or the output folder holds something.
    """
    from magpie_core.app import explain_files
    from magpie_core.experts.agreement import agreement, suggest_names
    from magpie_core.experts.attention import attention_points
    from magpie_core.experts.expert_maps import expert_maps, parse_layer, resolve_layers
    from magpie_core.inference.prediction import RoutingCapture

    session = session or Session()
    explain_files.check_output(request)
    layer = parse_layer(str(request.layer))
    model = session.models.get(request.model)
    no_attention = _check_model(request, model, layer)
    progress(0.0, "Reading the images")
    study = request.read()
    labels = _read_reference(request, study)
    capture = RoutingCapture()
    prediction = predict(request, study, session, progress=part_of(progress, 0.05, 0.6), capture=capture)
    progress(0.6, "Resampling the maps")
    maps = expert_maps(capture, layer)
    progress(0.75, "Comparing with the regions")
    reference = labels or prediction.segmentation
    rows = tuple(agreement(maps, reference))
    points: list[AttentionPoint] = []
    if request.attention_at is not None:
        assert capture.grid is not None
        progress(0.82, "Sampling the attention")
        points = attention_points(
            model, capture.grid, request.attention_at, device=request.device, threads=request.threads
        )
    alignment, no_template = None, ""
    if request.template or request.on_template:
        progress(0.85, "Registering to the template")
        try:
            alignment = _align(prediction, maps, request.threads)
        except MagpieError as error:
            if request.on_template:
                raise
            no_template = str(error)
    meant = resolve_layers(capture, layer)
    result = ExplainResult(
        prediction, reference, maps, rows, capture.names, meant[0] if len(meant) == 1 else "mean",
        suggest_names(rows), alignment, no_template, tuple(points), no_attention, {}, {},
    )  # fmt: skip
    progress(0.95, "Writing the maps")
    result = explain_files.write_explanation(request, study, result)
    progress(1.0, "Done")
    return result


def _check_model(request: ExplainRequest, model: Model, layer: int | str) -> str:
    """Refuse, before minutes of work, what the model cannot show; return why it has no attention, else ""."""
    from magpie_core.experts.attention import check_attention
    from magpie_core.experts.expert_maps import check_layer
    from magpie_core.io.template import read_template

    check_layer(getattr(model.network.config, "expert_layers", ()), layer)
    if request.on_template:
        read_template()
    try:
        check_attention(model)
    except InputError as error:
        if request.attention_at is not None:
            raise
        return str(error)
    return ""


def _read_reference(request: ExplainRequest, study: Study) -> Segmentation | None:
    """Read the segmentation to compare with, which must lie on the grid of the study's reference."""
    from magpie_core.io.segmentation_file import read_segmentation

    if request.reference is None:
        return None
    labels = read_segmentation(request.reference, request.reference_schema)
    if not labels.geometry.matches(study.volumes[study.reference].geometry, _SAME_GRID_MM):
        raise InputError(
            "The segmentation lies on another grid than the study's reference",
            remedy="Resample it by world coordinates, nearest neighbor",
            source=labels.source,
        )
    return labels


def _align(prediction: Prediction, maps: ExpertMaps, threads: int | None) -> TemplateAlignment:
    """Register to the template: by the T1 where that has the reference's grid, else by the reference."""
    import numpy as np

    from magpie_core.imaging.label_schema import Region
    from magpie_core.imaging.modality import Modality
    from magpie_core.preprocessing.template_registration import align_to_template

    study = prediction.prepared.study
    reference = study.volumes[study.reference]
    image = study.volumes.get(Modality.T1, reference)
    if not image.geometry.matches(reference.geometry):
        image = reference
    return align_to_template(
        image, brain=np.asarray(maps.values.any(axis=0)), tumor=prediction.segmentation.mask(Region.WT), threads=threads
    )
