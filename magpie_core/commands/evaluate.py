"""`magpie evaluate`: how well segmentations agree with the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.commands.options import AsJson
from magpie_core.commands.output import emit_json, say, tell
from magpie_core.commands.progress import ProgressBar

_REGIONS = ("WT", "TC", "ET")
_SCHEMAS = "magpie, brats-2022, brats-2023, brats-2024 or msd"
_MEANS = {
    "mean": "mean, all cases",
    "mean_with_et": "mean, cases with ET",
    "mean_without_et": "mean, cases without ET",
}


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder: CASE/segmentation.nii.gz or CASE.nii.gz.")],
    truths: Annotated[Path, typer.Argument(help="Folder: CASE/seg.nii.gz or CASE.nii.gz.")],
    truth_schema: Annotated[
        str | None, typer.Option(help=f"What the labels of the truth mean: {_SCHEMAS}.")
    ] = None,
    prediction_schema: Annotated[
        str | None, typer.Option(help="The same for predictions that have no sidecar.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Dice and HD95 of each region per case, and their means (empty masks by the BraTS rule)."""
    from magpie_core.evaluation.evaluate_folders import evaluate_folders

    with ProgressBar("Comparing", quiet=as_json) as bar:
        table = evaluate_folders(
            predictions, truths, truth_schema=truth_schema, prediction_schema=prediction_schema, progress=bar
        )
    if as_json:
        emit_json(table)
    else:
        _tell(table)
    if table["unused_predictions"]:
        say(f"Without a truth, and left out: {', '.join(table['unused_predictions'])}")


def _tell(table: dict[str, Any]) -> None:
    names = [row["case"] for row in table["cases"]] + list(_MEANS.values())
    width = max(map(len, names)) + 2
    tell(f"{'':{width}}{'Dice':>21}{'HD95 (mm)':>27}")
    tell(" " * width + 2 * "".join(f"{region:>9}" for region in _REGIONS))
    for row in table["cases"]:
        tell(f"{row['case']:{width}}{_figures(row)}")
    tell("-" * (width + 54))
    for key, title in _MEANS.items():
        if table[key] is not None:
            tell(f"{title:{width}}{_figures(table[key])}   n = {table[key]['cases']}")


def _figures(row: dict[str, Any]) -> str:
    dice = "".join(f"{row[region]['dice']:9.3f}" for region in _REGIONS)
    return dice + "".join(f"{row[region]['hd95_mm']:9.1f}" for region in _REGIONS)
