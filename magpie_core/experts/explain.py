"""A study looked at with its experts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from magpie_core.errors import InputError
from magpie_core.experts.agreement import Agreement, agreement
from magpie_core.experts.expert_maps import ExpertMaps, Layer, check_layer, expert_maps, layers_meant
from magpie_core.experts.expert_names import suggest_names
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.inference.prediction import Prediction
from magpie_core.inference.routing_capture import RoutingCapture
from magpie_core.inference.segment import segment_study
from magpie_core.models.model import Model
from magpie_core.preprocessing.model_grid import ModelGridStudy


@dataclass(frozen=True)
class Explanation:
    """A prediction, where each expert was asked, and how that goes with the regions.

    `layers` names every mixture of experts, `layer` is the number of the one that the maps are of, or "mean" of all;
    `working` is the study as the network saw it; `names` are regions that experts (from 0) may be named after.
    """

    prediction: Prediction
    maps: ExpertMaps
    rows: tuple[Agreement, ...]
    layers: tuple[str, ...]
    layer: int | Literal["mean"]
    names: dict[int, str]
    working: ModelGridStudy


def explain_study(
    study: Study,
    model: Model,
    *,
    outlines: Segmentation | None = None,
    layer: Layer = "finest",
    device: str = "auto",
    threads: int | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> Explanation:
    """Segment a study and bring back what its experts did.

    Parameters
    ----------
    outlines
        To compare the experts with, on the grid of the study's reference; the model's own result by default.
    layer
        See `expert_maps`.
    device, threads, progress
        See `segment_study`.

    Raises
    ------
    InputError
        If the outlines lie on another grid, or the model has no experts, or no such layer.
    """
    tell = progress or (lambda share, stage: None)
    check_layer(getattr(model.network.config, "expert_layers", ()), layer)
    reference = study.volumes[study.reference]
    if outlines is not None and not outlines.geometry.matches(reference.geometry, 0.05):
        raise InputError(
            "The outlines lie on another grid than the study's reference",
            remedy="Resample them by world coordinates, nearest neighbor",
            source=outlines.source,
        )
    capture = RoutingCapture()
    prediction = segment_study(
        study,
        model,
        device=device,
        threads=threads,
        progress=lambda share, stage: tell(0.6 * share, stage),
        capture=capture,
    )
    tell(0.6, "Bringing the maps back")
    maps = expert_maps(capture, layer)
    tell(0.8, "Comparing with the regions")
    rows = agreement(maps, outlines or prediction.segmentation)
    assert capture.working is not None
    meant = layers_meant(capture, layer)
    return Explanation(
        prediction,
        maps,
        tuple(rows),
        capture.names,
        meant[0] if len(meant) == 1 else "mean",
        suggest_names(rows),
        capture.working,
    )
