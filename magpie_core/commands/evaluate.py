"""`magpie evaluate`: score segmentations against reference standards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.app.evaluate import EvaluateRequest, evaluate as evaluate_segmentations
from magpie_core.commands.options import AsJson, options_of
from magpie_core.commands.output import print_json, print_line, print_message
from magpie_core.commands.progress import ProgressBar
from magpie_core.errors import InputError
from magpie_core.storage.csv_table import read_rows

_REGIONS = ("WT", "TC", "ET")
_MEANS = {"mean": "mean, all cases", "mean_with_et": "mean, cases with ET", "mean_without_et": "mean, cases without ET"}


@options_of(EvaluateRequest)
def evaluate(
    sites: Annotated[Path | None, typer.Option(help="CSV file of lines 'case,site', for means per site.")] = None,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Compute Dice and HD95 of each region per case, and their means (BraTS rule for empty masks)."""
    request = EvaluateRequest(sites=None if sites is None else _read_sites(sites), **options)
    with ProgressBar("Comparing", quiet=as_json) as bar:
        result = evaluate_segmentations(request, progress=bar)
    for warning in result.warnings:
        print_message(warning)
    if as_json:
        print_json(result.table)
    else:
        _print_table(result.table)
    if result.table["unused_predictions"]:
        print_message(f"No reference standard for: {', '.join(result.table['unused_predictions'])}")


def _print_table(table: Mapping[str, Any]) -> None:
    names = [row["case"] for row in table["cases"]] + list(_MEANS.values())
    width = max(map(len, names)) + 2
    print_line(f"{'':{width}}{'Dice':>21}{'HD95 (mm)':>27}")
    print_line(" " * width + 2 * "".join(f"{region:>9}" for region in _REGIONS))
    for row in table["cases"]:
        print_line(f"{row['case']:{width}}{_scores(row)}")
    print_line("-" * (width + 54))
    means = [(title, table[key]) for key, title in _MEANS.items() if table[key] is not None]
    for title, row in means + [(f"mean, {site}", row) for site, row in table["sites"].items()]:
        print_line(f"{title:{width}}{_scores(row)}   n = {row['cases']}")
    for region in _REGIONS:
        dice = table["intervals"][region]
        print_line(
            f"{region}: mean Dice {dice['mean']:.3f} (bootstrap 95 % CI {dice['low']:.3f} to {dice['high']:.3f})"
        )
    if table["satellites"]:
        _print_lesions(table)
    print_line(f"Lowest Dice: {', '.join(table['worst'])}")


def _print_lesions(table: Mapping[str, Any]) -> None:
    for region in _REGIONS:
        means, satellites = table["mean"][region], table["satellites"][region]
        print_line(
            f"{region}: surface Dice (1 mm) {means['surface_dice']:.3f}, lesion-wise Dice {means['lesion_dice']:.3f}, "
            f"lesion-wise HD95 {means['lesion_hd95_mm']:.1f} mm, "
            f"{satellites['false_positives_per_case']:.2f} false positives per case"
        )
        for row in satellites["recall"]:
            if row["all"]:
                volumes = f"{row['from_mm3']:.0f} mm^3 or more"
                if row["to_mm3"] is not None:
                    volumes = f"{row['from_mm3']:.0f} to {row['to_mm3']:.0f} mm^3"
                print_line(f"    satellites of {volumes}: {row['found']} of {row['all']} found")


def _read_sites(path: Path) -> dict[str, str]:
    rows = read_rows(path)
    wrong = [number for number, row in enumerate(rows, 1) if len(row) != 2]
    if wrong:
        raise InputError("Cannot read the sites", cause=f"line {wrong[0]} is not 'case,site'", source=str(path))
    return {row[0]: row[1] for row in rows}


def _scores(row: Mapping[str, Any]) -> str:
    dice = "".join(f"{row[region]['dice']:9.3f}" for region in _REGIONS)
    return dice + "".join(f"{row[region]['hd95_mm']:9.1f}" for region in _REGIONS)
