"""`magpie explain`: what each expert of the network saw."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Annotated

import typer

from magpie_core.commands.options import AsJson, DeviceName, ModelName, Overwrite, Threads
from magpie_core.commands.output import emit_json, tell
from magpie_core.commands.progress import ProgressBar


def explain(
    study: Annotated[Path, typer.Argument(help="Folder with the images of one visit.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for maps, table and picture.")],
    truth: Annotated[
        Path | None, typer.Option(help="Outlines to compare with; the model's own result by default.")
    ] = None,
    truth_schema: Annotated[str | None, typer.Option(help="What the labels of the truth mean.")] = None,
    layer: Annotated[
        int, typer.Option(help="Which mixture of experts, finest first from 0; -1 for the mean of all.")
    ] = 0,
    model: ModelName = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a map of each expert, how it agrees with the regions, and a picture of all."""
    import numpy as np

    from magpie_core.errors import InputError
    from magpie_core.experts.explain import explain_study
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import find_model
    from magpie_core.report.expert_sheet import draw_expert_sheet
    from magpie_core.study.atomic import write_bytes
    from magpie_core.study.discovery import read_study
    from magpie_core.study.nifti import write_volume
    from magpie_core.study.segmentation import read_segmentation
    from magpie_core.study.volume import Volume

    if out.exists() and any(out.iterdir()) and not overwrite:
        raise InputError(
            "There is something in the output folder already",
            remedy="Choose another folder, or allow replacing it with --overwrite",
            source=str(out),
        )
    loaded = load_model(find_model(model))
    with ProgressBar(study.name, quiet=as_json) as bar:
        bar(0.0, "Reading the files")
        images = read_study(study)
        outlines = None if truth is None else read_segmentation(truth, truth_schema)
        explained = explain_study(
            images,
            loaded,
            outlines=outlines,
            layer=None if layer < 0 else layer,
            device=device,
            threads=threads,
            progress=lambda share, stage: bar(0.1 + 0.8 * share, stage),
        )
        prediction, maps = explained.prediction, explained.maps
        compared = outlines or prediction.segmentation
        rows = [row.as_dict() for row in explained.rows]
        bar(0.9, "Writing")
        out.mkdir(parents=True, exist_ok=True)
        for number, one in enumerate(maps.values):
            write_volume(Volume(one, maps.geometry.affine), out / f"expert_{number + 1}.nii.gz")
        write_volume(Volume(maps.dominant(), maps.geometry.affine), out / "dominant.nii.gz")
        draw_expert_sheet(images, compared, maps.values, out / "experts.png")
        with (out / "agreement.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, list(rows[0]) if rows else ["region"])
            table.writeheader()
            table.writerows(rows)
        summary = {
            "study": images.name,
            "model": prediction.model_name,
            "compared_with": "outlines" if outlines else "the model's own result",
            "layer": "all" if layer < 0 else layer,
            "token_mm": maps.token_mm,
            "share_of_brain": [
                round(float(np.mean(one[maps.values.any(axis=0)]) / 255), 4) for one in maps.values
            ],
            "agreement": rows,
        }
        write_bytes(out / "agreement.json", (json.dumps(summary, indent=2) + "\n").encode())
    if as_json:
        emit_json(summary)
        return
    tell(f"A token is {maps.token_mm:.0f} mm; IoU of the best expert, in the tumour's box:")
    for row in rows:
        if row["where"] == "box":
            tell(
                f"  {row['region']:11} expert {row['expert'] + 1}: {row['iou']:.2f} "
                f"(chance {row['control']:.2f}, no map can exceed {row['ceiling']:.2f})"
            )
    tell(f"Maps, table and picture are in {out}")
