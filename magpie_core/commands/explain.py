"""`magpie explain`: what each expert of the network saw, and where its attention looks."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from magpie_core.commands.options import AsJson, DeviceName, ModelName, Overwrite, Threads
from magpie_core.commands.output import emit_json, tell
from magpie_core.commands.progress import ProgressBar

if TYPE_CHECKING:
    from magpie_core.experts.attention import AttentionPoint
    from magpie_core.experts.explain import Explanation
    from magpie_core.imaging.segmentation import Segmentation
    from magpie_core.imaging.study import Study
    from magpie_core.preprocessing.template_registration import TemplateAlignment

SUMMARY = "agreement.json"
_OURS = (
    "expert_*.nii.gz",
    "dominant.nii.gz",
    "agreement.csv",
    "experts.png",
    "attention.csv",
    "attention.png",
    *(
        f"template/{name}"
        for name in (
            "expert_*.nii.gz",
            "anatomy.nii.gz",
            "segmentation.nii.gz",
            "segmentation.json",
            "experts.png",
            "alignment.json",
        )
    ),
)


def explain(
    study: Annotated[Path, typer.Argument(help="Folder with the images of one visit.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for maps, table and picture.")],
    truth: Annotated[
        Path | None, typer.Option(help="Outlines to compare with; the model's own result by default.")
    ] = None,
    truth_schema: Annotated[str | None, typer.Option(help="What the labels of the truth mean.")] = None,
    layer: Annotated[
        str,
        typer.Option(
            help="Which mixture of experts: a number (the encoder's from 0, finest first, then the decoder's) or a "
            "name, 'finest', or 'mean' of all."
        ),
    ] = "finest",
    on_template: Annotated[
        bool, typer.Option("--on-template", help="Also write all of it on the ICBM 152 template.")
    ] = False,
    attention_at: Annotated[
        str | None,
        typer.Option(metavar="R,A,S", help="Also write where the attention looks from this place, mm."),
    ] = None,
    model: ModelName = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a map of each expert, how it agrees with the regions, and a picture of all."""
    import numpy as np

    from magpie_core.errors import InputError
    from magpie_core.experts.attention import attention_points, check_attention
    from magpie_core.experts.expert_maps import layer_of
    from magpie_core.experts.explain import explain_study
    from magpie_core.experts.template_view import align_explained
    from magpie_core.imaging.volume import Volume
    from magpie_core.io.discovery import read_study
    from magpie_core.io.nifti import write_volume
    from magpie_core.io.segmentation_file import read_segmentation
    from magpie_core.io.template import template_file
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import find_model
    from magpie_core.report.expert_montage import draw_expert_montage
    from magpie_core.storage.atomic import refuse_file, staged_folder, write_bytes

    refuse_file(out)
    if truth_schema is not None and truth is None:
        raise InputError(
            "It is said what the labels of the truth mean, but not which file that is",
            remedy="Name it with --truth, or leave --truth-schema out",
        )
    if out.exists() and any(out.iterdir()) and not overwrite:
        raise InputError(
            "There is something in the output folder already",
            remedy="Choose another folder, or allow replacing it with --overwrite",
            source=str(out),
        )
    place = None if attention_at is None else _place(attention_at)
    wanted = layer_of(layer)
    loaded = load_model(find_model(model))
    # What cannot be done is said before the minutes of work.
    if place is not None:
        check_attention(loaded)
    if on_template:
        template_file("t1")
    with ProgressBar(study.name, quiet=as_json) as bar:
        bar(0.0, "Reading the files")
        images = read_study(study)
        outlines = None if truth is None else read_segmentation(truth, truth_schema)
        explained = explain_study(
            images,
            loaded,
            outlines=outlines,
            layer=wanted,
            device=device,
            threads=threads,
            progress=lambda share, stage: bar(0.1 + 0.8 * share, stage),
        )
        prediction, maps = explained.prediction, explained.maps
        compared = outlines or prediction.segmentation
        rows = [row.as_dict() for row in explained.rows]
        points = None
        if place is not None:
            bar(0.9, "Looking at the attention")
            points = attention_points(loaded, explained.working, place, device=device, threads=threads)
        aligned = None
        if on_template:
            bar(0.92, "Laying the brain on the template")
            aligned = align_explained(explained, threads=threads)
        bar(0.95, "Writing")
        with staged_folder(out, ours=_OURS, last=SUMMARY) as scratch:
            for number, one in enumerate(maps.values):
                write_volume(Volume(one, maps.geometry.affine), scratch / f"expert_{number + 1}.nii.gz")
            write_volume(Volume(maps.dominant(), maps.geometry.affine), scratch / "dominant.nii.gz")
            draw_expert_montage(images, compared, maps.values, scratch / "experts.png", names=explained.names)
            flat = [_flat(row) for row in rows]
            columns = list(flat[0]) if flat else ["region"]
            _write_table(scratch / "agreement.csv", [columns, *(row.values() for row in flat)])
            summary: dict[str, Any] = {
                "study": images.name,
                "model": prediction.model_name,
                "compared_with": "outlines" if outlines else "the model's own result",
                "layer": explained.layer,
                "layers": list(explained.layers),
                "token_mm": maps.token_mm,
                "share_of_brain": [
                    round(float(np.mean(one[maps.values.any(axis=0)]) / 255), 4) for one in maps.values
                ],
                "names": {expert + 1: region for expert, region in explained.names.items()},
                "agreement": rows,
            }
            if points is not None and place is not None:
                summary["attention"] = _write_attention(
                    points, explained.prediction.ready.study, place, scratch
                )
            if aligned is not None:
                summary["template"] = _write_on_template(explained, compared, aligned, scratch / "template")
            write_bytes(scratch / SUMMARY, (json.dumps(summary, indent=2) + "\n").encode())
    if as_json:
        emit_json(summary)
        return
    tell(
        f"Nothing finer than {maps.token_mm:.0f} mm can be seen; overlap (IoU) of the best expert, in the tumor's "
        "box, with"
    )
    for row in rows:
        if row["where"] == "box":
            tell(
                f"  {row['region']:11} expert {row['expert']}: {row['iou']:.2f} "
                f"(chance {row['control']:.2f}, about {row['ceiling']:.2f} is possible)"
            )
    for expert, region in explained.names.items():
        tell(f"Expert {expert + 1} may be called that of {region}, by {summary['compared_with']}")
    tell(f"Maps, table and picture are in {out}")


def _place(text: str) -> tuple[float, float, float]:
    """R,A,S in mm."""
    from magpie_core.errors import InputError

    try:
        right, anterior, superior = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{text!r} is no place",
            remedy="Give three numbers, mm to the right, anterior, superior: -21,30,12",
        ) from None
    return right, anterior, superior


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row without lists: `ious` becomes `iou_1`, `iou_2`, ... for each expert, and `ious_stated` likewise."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        single = name.replace("ious", "iou")
        flat |= (
            {f"{single}_{number}": one for number, one in enumerate(value, 1)}
            if isinstance(value, (list, tuple))
            else {name: value}
        )
    return flat


def _write_table(path: Path, rows: Iterable[Iterable[object]]) -> None:
    from magpie_core.storage.atomic import write_bytes

    text = io.StringIO()
    csv.writer(text).writerows(rows)
    write_bytes(path, text.getvalue().encode())


def _write_attention(
    points: list[AttentionPoint], study: Study, place: tuple[float, float, float], out: Path
) -> dict[str, Any]:
    """Table and picture of the places that are looked at; returns what the summary says of it."""
    from magpie_core.report.attention_montage import draw_attention

    ends = [f"{name}_{axis}_mm" for name in ("at", "from") for axis in "ras"]
    rows: list[Iterable[object]] = [["layer", "head", "level", "point", "weight", *ends]]
    for point in points:
        place_of = [point.layer, point.head, point.level, point.point, f"{point.weight:.6f}"]
        rows.append([*place_of, *point.ras, *point.from_ras])
    _write_table(out / "attention.csv", rows)
    draw_attention(study, [point.as_dict() for point in points], place, out / "attention.png")
    layers = list(dict.fromkeys(point.layer for point in points))
    return {"at_ras_mm": list(place), "points": len(points), "layers": layers}


def _write_on_template(
    explained: Explanation, compared: Segmentation, aligned: TemplateAlignment, out: Path
) -> dict[str, Any]:
    """Maps, anatomy and outlines on the template's grid, and the matrix; returns what the summary says of it."""
    import numpy as np

    from magpie_core.imaging.modality import Modality
    from magpie_core.imaging.segmentation import Segmentation
    from magpie_core.imaging.study import Study
    from magpie_core.imaging.volume import Volume
    from magpie_core.io.nifti import write_volume
    from magpie_core.io.segmentation_file import write_segmentation
    from magpie_core.report.expert_montage import draw_expert_montage
    from magpie_core.storage.atomic import write_bytes

    ready, maps, affine = explained.prediction.ready.study, explained.maps, aligned.template.affine
    out.mkdir(exist_ok=True)
    reference = ready.volumes[ready.reference]
    anatomy = aligned.onto_template(np.asarray(reference.data, np.float32), reference.geometry)
    write_volume(Volume(anatomy, affine), out / "anatomy.nii.gz")
    placed = np.stack([aligned.onto_template(one, maps.geometry) for one in maps.values])
    for number, one in enumerate(placed):
        write_volume(Volume(one, affine), out / f"expert_{number + 1}.nii.gz")
    labels = aligned.onto_template(compared.labels, compared.geometry, nearest=True)
    outlines = Segmentation(labels, affine, compared.schema)
    write_segmentation(outlines, out / "segmentation.nii.gz")
    head = Study({Modality.T1: aligned.template}, "template")
    draw_expert_montage(head, outlines, placed, out / "experts.png", names=explained.names)
    told = {
        "template": "ICBM 2009a nonlinear symmetric, T1, 1 mm",
        "reference": ready.reference.value,
        "study_to_template_ras_mm": np.round(aligned.matrix, 6).tolist(),
        "similarity_nats": round(aligned.similarity, 4),
        "without_tumor": aligned.without_tumor,
    }
    write_bytes(out / "alignment.json", (json.dumps(told, indent=2) + "\n").encode())
    return told
