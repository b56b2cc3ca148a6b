"""Evaluate a folder of segmentations against a folder of reference standards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from magpie_core.errors import InputError
from magpie_core.evaluation.bootstrap import bootstrap_mean
from magpie_core.evaluation.lesion_wise import LesionScores, lesion_wise, satellite_recall
from magpie_core.evaluation.region_metrics import WORST_HD95_MM, evaluate_case, surface_dice
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.label_schema import LabelSchema
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.file_names import is_nifti, stem
from magpie_core.io.segmentation_file import find_segmentation, read_segmentation

_SCORES = ("dice", "hd95_mm", "surface_dice", "lesion_dice", "lesion_hd95_mm")
Row = dict[str, Any]

_EMPTY_MASK_RULE = {
    "name": "BraTS",
    "both_empty": {"dice": 1.0, "hd95_mm": 0.0},
    "one_empty": {"dice": 0.0, "hd95_mm": WORST_HD95_MM},
}


def evaluate_folders(
    predictions: Path | Mapping[str, Path],
    references: Path | Mapping[str, Path],
    *,
    place: Callable[[str, Segmentation, Segmentation], Segmentation] | None = None,
    reference_schema: LabelSchema | str | None = None,
    prediction_schema: LabelSchema | str | None = None,
    lesions: bool = False,
    sites: Mapping[str, str] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Score the prediction of every case of the reference standard.

    Args:
        predictions: Folder with CASE/segmentation.nii.gz or CASE.nii.gz; or the file of each case.
        references: Folder with CASE/seg.nii.gz (or CASE/..._seg.nii.gz) or CASE.nii.gz, or the file of each case; it
            determines the cases.
        place: Called with a case, its prediction and its reference; returns the prediction on the reference's grid.
        reference_schema, prediction_schema: Label schemas; if None, each segmentation needs its sidecar.
        lesions: Also score surfaces and lesions: `surface_dice`, `lesion_dice`, `lesion_hd95_mm`, and the table
            `satellites`.
        progress: Called with the fraction done and the current case.

    Returns:
        dict: Plain values: `cases` (one row each: case, reference_has_et, and per region dice, hd95_mm, volume_ml,
            reference_volume_ml), `mean`, `mean_with_et`, `mean_without_et` (over all cases, and over those with and
            without enhancing tumor in the reference standard; None without cases), `intervals` (bootstrap, 95 %, of the
            mean Dice per region), `sites` (means by site), `worst` (the tenth of the cases with the lowest mean Dice,
            at least one, worst first), `unused_predictions`, and the `empty_mask_rule`.

    Raises:
        InputError: If a folder has no case, or a case lacks its prediction, a valid mask, the same grid, or a site.
    """
    expected = references if isinstance(references, Mapping) else reference_files(references)
    found = predictions if isinstance(predictions, Mapping) else prediction_files(predictions)
    _refuse_incomplete(expected, found, sites, source="" if isinstance(predictions, Mapping) else str(predictions))
    rows: list[Row] = []
    details = []
    for index, (case, reference_file) in enumerate(sorted(expected.items())):
        if progress is not None:
            progress(index / len(expected), case)
        reference = read_segmentation(reference_file, reference_schema)
        prediction = read_segmentation(found[case], prediction_schema)
        if place is not None:
            prediction = place(case, prediction, reference)
        scores = evaluate_case(prediction, reference)
        if lesions:
            details.append(_score_lesions(prediction, reference, scores))
        rows.append({"case": case, "reference_has_et": scores["ET"]["reference_volume_ml"] > 0, **scores})
    known = {case: sites[case] for case in expected} if sites else {}
    return {
        "cases": rows,
        "mean": _mean(rows),
        "mean_with_et": _mean([row for row in rows if row["reference_has_et"]]),
        "mean_without_et": _mean([row for row in rows if not row["reference_has_et"]]),
        "intervals": {
            region.value: asdict(bootstrap_mean([row[region.value]["dice"] for row in rows])) for region in Region
        },
        "sites": {
            site: _mean([row for row in rows if known[row["case"]] == site]) for site in sorted(set(known.values()))
        },
        "worst": [row["case"] for row in sorted(rows, key=_mean_dice)[: max(1, len(rows) // 10)]],
        "satellites": _satellites(details),
        "unused_predictions": sorted(set(found) - set(expected)),
        "empty_mask_rule": dict(_EMPTY_MASK_RULE),
    }


def reference_files(folder: Path) -> dict[str, Path]:
    """Find the reference standard of every case."""
    return _find_cases(folder, lambda case: [find_segmentation(case)], "CASE/seg.nii.gz or CASE.nii.gz")


def prediction_files(folder: Path) -> dict[str, Path]:
    """Find the predicted segmentation of every case."""
    return _find_cases(
        folder,
        lambda case: [case / f"segmentation{ending}" for ending in (".nii.gz", ".nii")],
        "CASE/segmentation.nii.gz or CASE.nii.gz",
    )


def _refuse_incomplete(
    expected: Iterable[str], found: Iterable[str], sites: Mapping[str, str] | None, *, source: str
) -> None:
    """Raise InputError if a case lacks its prediction or its site."""
    expected = list(expected)
    missing = sorted(set(expected) - set(found))
    if missing:
        raise InputError(
            f"{len(missing)} of {len(expected)} cases have no prediction",
            cause=f"none for {_listed(missing)}",
            remedy="Segment these cases too (CASE/segmentation.nii.gz or CASE.nii.gz), or remove their references",
            source=source,
        )
    unassigned = sorted(set(expected) - set(sites)) if sites is not None else []
    if unassigned:
        raise InputError(
            f"{len(unassigned)} of {len(expected)} cases have no site",
            cause=f"none for {_listed(unassigned)}",
            remedy="Give a line 'case,site' for each case",
        )


def _score_lesions(
    prediction: Segmentation, reference: Segmentation, scores: dict[str, dict[str, float]]
) -> dict[str, LesionScores]:
    """Add the scores of surfaces and lesions to `scores`; returns the lesions by region."""
    orders = [Reorientation.of(one.geometry) for one in (prediction, reference)]
    spacing_mm = orders[1].geometry.spacing_mm
    found = {}
    for region in Region:
        masks = [order.apply(one.mask(region)) for order, one in zip(orders, (prediction, reference), strict=True)]
        matched = lesion_wise(masks[0], masks[1], spacing_mm)
        scores[region.value] |= {
            "surface_dice": surface_dice(masks[0], masks[1], spacing_mm),
            "lesion_dice": matched.dice,
            "lesion_hd95_mm": matched.hd95_mm,
        }
        found[region.value] = matched
    return found


def _satellites(details: list[dict[str, LesionScores]]) -> dict[str, Any]:
    """Tabulate by region the recall of satellites by volume, and the false positives per case."""
    if not details:
        return {}
    return {
        region.value: {
            "recall": [
                {"from_mm3": low, "to_mm3": high if high < 1e9 else None, "found": found, "all": count}
                for low, high, found, count in satellite_recall([one[region.value] for one in details])
            ],
            "false_positives_per_case": sum(len(one[region.value].false_positives_mm3) for one in details)
            / len(details),
        }
        for region in Region
    }


def _mean_dice(row: Row) -> float:
    return sum(row[region.value]["dice"] for region in Region) / len(Region)


def _mean(rows: list[Row]) -> dict[str, Any] | None:
    if not rows:
        return None
    means: dict[str, Any] = {"cases": len(rows)}
    for region in Region:
        means[region.value] = {
            score: sum(row[region.value][score] for row in rows) / len(rows)
            for score in _SCORES
            if score in rows[0][region.value]
        }
    return means


def _find_cases(folder: Path, candidates: Callable[[Path], list[Path | None]], names: str) -> dict[str, Path]:
    """Find one mask per case: the file CASE.nii.gz, or the one of `candidates` in the folder CASE that exists."""
    if not folder.is_dir():
        raise InputError("There is no such folder", remedy="Check its path", source=str(folder))
    found: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.name.startswith("."):
            files = [path for path in candidates(entry) if path is not None and path.is_file()]
            found.setdefault(entry.name, []).extend(files)
        elif is_nifti(entry):
            found.setdefault(stem(entry), []).append(entry)
    for case, files in found.items():
        if len(files) > 1:
            raise InputError(
                f"There is more than one mask for the case {case}",
                cause=" and ".join(path.relative_to(folder).as_posix() for path in files),
                remedy="Remove all but one of them",
                source=str(folder),
            )
    cases = {case: files[0] for case, files in found.items() if files}
    if not cases:
        raise InputError("The folder has no case", remedy=f"Give a folder with {names}", source=str(folder))
    return cases


def _listed(cases: list[str]) -> str:
    return ", ".join(cases[:8]) + (", ..." if len(cases) > 8 else "")
