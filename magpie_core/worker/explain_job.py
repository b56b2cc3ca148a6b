"""What each expert of the network saw in a study, and where the study lies in the template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magpie_core.errors import InputError, MagpieError
from magpie_core.worker.job_context import JobContext, images_of, path_of
from magpie_core.worker.protocol import Message


def explain(job: Message, context: JobContext) -> dict[str, Any]:
    """Job "explain": inputs, output, labels, model, layer (see `expert_maps`; the finest by default), device -> `maps`
    (paths), `dominant` (path), `agreement`, `token_mm`, `layers` (names), `layer` (number or "mean"), `names` (a
    region or "" for each map).

    Also `template` (`path`, and `matrix` from the study's world to its), or in `no_template` why there is none; and in
    `no_attention` why attention cannot be shown, else empty.
    """
    inputs, output = images_of(job), path_of(job, "output")
    context.progress(0.0, "Reading the images")
    from magpie_core.experts.attention import check_attention
    from magpie_core.experts.expert_maps import layer_of
    from magpie_core.experts.explain import explain_study
    from magpie_core.experts.template_view import align_explained
    from magpie_core.imaging.volume import Volume
    from magpie_core.io.discovery import read_study
    from magpie_core.io.nifti import write_volume
    from magpie_core.io.segmentation_file import read_segmentation
    from magpie_core.io.template import template_file

    study = read_study(inputs, name=job.get("name"))
    model = context.models.get(job.get("model"))
    labels, layer = job.get("labels"), job.get("layer")
    explained = explain_study(
        study,
        model,
        outlines=read_segmentation(Path(labels)) if labels else None,
        layer="finest" if layer is None else layer_of(str(layer)),
        device=job.get("device") or "auto",
        progress=lambda share, stage: context.progress(0.05 + 0.75 * share, stage),
    )
    context.progress(0.8, "Laying the brain on the template")
    template, no_template, no_attention = None, "", ""
    try:
        path = template_file("t1")
        template = {"path": str(path), "matrix": align_explained(explained).matrix.tolist()}
    except MagpieError as error:
        no_template = str(error)
    try:
        check_attention(model)
    except InputError as error:
        no_attention = str(error)
    context.progress(0.9, "Writing the maps")
    output.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, one in enumerate(explained.maps.values):
        paths.append(output / f"expert_{number + 1}.nii")
        write_volume(Volume(one, explained.maps.geometry.affine), paths[-1])
    dominant = output / "dominant.nii"
    write_volume(Volume(explained.maps.dominant(), explained.maps.geometry.affine), dominant)
    return {
        "maps": [str(path) for path in paths],
        "dominant": str(dominant),
        "agreement": [row.as_dict() for row in explained.rows],
        "token_mm": explained.maps.token_mm,
        "layers": list(explained.layers),
        "layer": explained.layer,
        "names": [explained.names.get(number, "") for number in range(len(paths))],
        "reference": study.reference.value,
        "template": template,
        "no_template": no_template,
        "no_attention": no_attention,
    }
