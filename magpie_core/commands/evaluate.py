"""`magpie evaluate`: how well segmentations agree with the truth."""

from __future__ import annotations

import csv
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
    lesions: Annotated[
        bool, typer.Option("--lesions", help="Also surfaces, single lesions (BraTS 2023) and satellites.")
    ] = False,
    sites: Annotated[Path | None, typer.Option(help="CSV of lines 'case,site', for means per site.")] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures of the worst tenth; images are looked for beside the truth."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Dice and HD95 of each region per case, and their means (empty masks by the BraTS rule)."""
    from magpie_core.evaluation.evaluate_folders import evaluate_folders

    with ProgressBar("Comparing", quiet=as_json) as bar:
        table = evaluate_folders(
            predictions,
            truths,
            truth_schema=truth_schema,
            prediction_schema=prediction_schema,
            lesions=lesions,
            sites=None if sites is None else _read_sites(sites),
            progress=bar,
        )
    if pictures is not None:
        schemas = (prediction_schema, truth_schema)
        _draw(table["worst"], predictions, truths, pictures, schemas)
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
    for site, means in table["sites"].items():
        tell(f"{'mean, ' + site:{width}}{_figures(means)}   n = {means['cases']}")
    for region in _REGIONS:
        interval = table["intervals"][region]
        tell(
            f"{region}: mean Dice between {interval['low']:.3f} and {interval['high']:.3f} (95 %, bootstrap)"
        )
    if table["satellites"]:
        _tell_lesions(table)
    tell(f"Lowest Dice: {', '.join(table['worst'])}")


def _tell_lesions(table: dict[str, Any]) -> None:
    for region in _REGIONS:
        means, satellites = table["mean"][region], table["satellites"][region]
        tell(
            f"{region}: surface Dice (1 mm) {means['surface_dice']:.3f}, lesion-wise Dice {means['lesion_dice']:.3f}, "
            f"lesion-wise HD95 {means['lesion_hd95_mm']:.1f} mm, "
            f"{satellites['false_positives_per_case']:.2f} false lesions a case"
        )
        for row in satellites["recall"]:
            if row["all"]:
                upper = "more" if row["to_mm3"] is None else f"{row['to_mm3']:.0f}"
                tell(
                    f"    satellites of {row['from_mm3']:.0f} to {upper} mm3: {row['found']} of {row['all']}"
                )


def _read_sites(path: Path) -> dict[str, str]:
    from magpie_core.errors import InputError

    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise InputError("The sites cannot be read", cause=str(error), source=str(path)) from error
    wrong = [number for number, row in enumerate(rows, 1) if row and len(row) != 2]
    if wrong:
        raise InputError(
            "The sites cannot be read", cause=f"line {wrong[0]} is not 'case,site'", source=str(path)
        )
    return {row[0].strip(): row[1].strip() for row in rows if row}


def _draw(
    cases: list[str], predictions: Path, truths: Path, folder: Path, schemas: tuple[str | None, str | None]
) -> None:
    """Overviews of prediction and truth, where the case has images."""
    from magpie_core.errors import MagpieError
    from magpie_core.evaluation.evaluate_folders import prediction_files, truth_files
    from magpie_core.io.discovery import read_study
    from magpie_core.io.segmentation_file import read_segmentation
    from magpie_core.report.overview import draw_overview

    folder.mkdir(parents=True, exist_ok=True)
    found, real = prediction_files(predictions), truth_files(truths)
    for case in cases:
        try:
            study = read_study(truths / case)
            for files, schema, kind in ((found, schemas[0], "found"), (real, schemas[1], "truth")):
                draw_overview(study, read_segmentation(files[case], schema), folder / f"{case}_{kind}.png")
        except MagpieError as error:
            say(f"No picture of {case}: {error}")


def _figures(row: dict[str, Any]) -> str:
    dice = "".join(f"{row[region]['dice']:9.3f}" for region in _REGIONS)
    return dice + "".join(f"{row[region]['hd95_mm']:9.1f}" for region in _REGIONS)
