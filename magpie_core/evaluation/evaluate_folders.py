"""Scores a folder of segmentations against a folder of truths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from magpie_core.errors import InputError
from magpie_core.evaluation.bootstrap import bootstrap_mean
from magpie_core.evaluation.lesion_wise import LesionScores, lesion_wise, satellite_recall
from magpie_core.evaluation.region_metrics import WORST_HD95_MM, evaluate_case
from magpie_core.evaluation.surface_dice import surface_dice
from magpie_core.imaging.label_schema import LabelSchema, Region
from magpie_core.imaging.reorientation import Reordering
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.label_file import label_file
from magpie_core.io.segmentation_file import read_segmentation

_SCORES = ("dice", "hd95_mm", "surface_dice", "lesion_dice", "lesion_hd95_mm")
_ENDINGS = (".nii.gz", ".nii")


def evaluate_folders(
    predictions: Path,
    truths: Path,
    *,
    truth_schema: LabelSchema | str | None = None,
    prediction_schema: LabelSchema | str | None = None,
    lesions: bool = False,
    sites: Mapping[str, str] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> dict[str, Any]:
    """Score every truth's prediction.

    Parameters
    ----------
    predictions
        Folder with CASE/segmentation.nii.gz or CASE.nii.gz.
    truths
        Folder with CASE/seg.nii.gz (or CASE/..._seg.nii.gz) or CASE.nii.gz; its cases are those that count.
    truth_schema, prediction_schema
        Label schemas; where None, each mask needs its sidecar.
    lesions
        Also score surfaces and lesions: `surface_dice`, `lesion_dice`, `lesion_hd95_mm`, and the table `satellites`.
    sites
        Site of each case, for means per site.
    progress
        Called with the fraction done and the case at hand.

    Returns
    -------
    dict
        Plain values: `cases` (one row each: case, truth_has_et, and per region dice, hd95_mm, volume_ml,
        truth_volume_ml), `mean`, `mean_with_et`, `mean_without_et` (over all cases, over those with enhancing
        tumor in the truth, and over those without; None where there is none), `intervals` (bootstrap, 95 %, of the
        mean Dice per region), `sites` (means by site), `worst` (the tenth of the cases with the lowest mean Dice, at
        least one, worst first), `unused_predictions`, and the `empty_mask_rule`.

    Raises
    ------
    InputError
        If a folder holds no case, a prediction is missing, a mask is faulty, grids differ, or a case has no site.
    """
    expected = truth_files(Path(truths))
    found = prediction_files(Path(predictions))
    missing = sorted(set(expected) - set(found))
    if missing:
        shown = ", ".join(missing[:8]) + (", ..." if len(missing) > 8 else "")
        raise InputError(
            f"{len(missing)} of {len(expected)} cases have no prediction",
            cause=shown,
            remedy="Segment these cases too (CASE/segmentation.nii.gz or CASE.nii.gz), or take them from the truths",
            source=str(predictions),
        )
    homeless = sorted(set(expected) - set(sites)) if sites is not None else []
    if homeless:
        raise InputError(
            f"{len(homeless)} of {len(expected)} cases have no site",
            cause=f"none for {', '.join(homeless[:8])}",
            remedy="Give a line 'case,site' for each case",
        )
    rows: list[dict[str, Any]] = []
    details = []
    for index, (case, truth_file) in enumerate(sorted(expected.items())):
        if progress is not None:
            progress(index / len(expected), case)
        truth = read_segmentation(truth_file, truth_schema)
        prediction = read_segmentation(found[case], prediction_schema)
        scores = evaluate_case(prediction, truth)
        if lesions:
            details.append(_score_lesions(prediction, truth, scores))
        rows.append({"case": case, "truth_has_et": scores["ET"]["truth_volume_ml"] > 0, **scores})
    by_site: dict[str, list[dict[str, Any]]] = {}
    for row in rows if sites is not None else []:
        by_site.setdefault((sites or {})[row["case"]], []).append(row)
    return {
        "cases": rows,
        "mean": _mean(rows),
        "mean_with_et": _mean([row for row in rows if row["truth_has_et"]]),
        "mean_without_et": _mean([row for row in rows if not row["truth_has_et"]]),
        "intervals": {
            region.value: asdict(bootstrap_mean([row[region.value]["dice"] for row in rows]))
            for region in Region
        },
        "sites": {site: _mean(members) for site, members in sorted(by_site.items())},
        "worst": [row["case"] for row in sorted(rows, key=_mean_dice)[: max(1, len(rows) // 10)]],
        "satellites": _satellites(details),
        "unused_predictions": sorted(set(found) - set(expected)),
        "empty_mask_rule": {
            "name": "BraTS",
            "both_empty": {"dice": 1.0, "hd95_mm": 0.0},
            "one_empty": {"dice": 0.0, "hd95_mm": WORST_HD95_MM},
        },
    }


def _score_lesions(
    prediction: Segmentation, truth: Segmentation, scores: dict[str, dict[str, float]]
) -> dict[str, LesionScores]:
    """Add the scores of surfaces and lesions to `scores`; returns the lesions by region."""
    orders = [Reordering.of(one.geometry) for one in (prediction, truth)]
    spacing_mm = orders[1].geometry.spacing_mm
    found = {}
    for region in Region:
        masks = [
            order.apply(one.mask(region)) for order, one in zip(orders, (prediction, truth), strict=True)
        ]
        matched = lesion_wise(masks[0], masks[1], spacing_mm)
        scores[region.value] |= {
            "surface_dice": surface_dice(masks[0], masks[1], spacing_mm),
            "lesion_dice": matched.dice,
            "lesion_hd95_mm": matched.hd95_mm,
        }
        found[region.value] = matched
    return found


def _satellites(details: list[dict[str, LesionScores]]) -> dict[str, Any]:
    """By region: satellites found by volume, and false positives a case."""
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


def _mean_dice(row: dict[str, Any]) -> float:
    return sum(row[region.value]["dice"] for region in Region) / len(Region)


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
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


def truth_files(folder: Path) -> dict[str, Path]:
    """Masks of the truth by case."""

    def inside(case: Path) -> list[Path]:
        labels = label_file(case)
        return [] if labels is None else [labels]

    return _cases(folder, inside, "CASE/seg.nii.gz or CASE.nii.gz")


def prediction_files(folder: Path) -> dict[str, Path]:
    """Predicted masks by case."""

    def inside(case: Path) -> list[Path]:
        return [
            case / f"segmentation{ending}"
            for ending in _ENDINGS
            if (case / f"segmentation{ending}").is_file()
        ]

    return _cases(folder, inside, "CASE/segmentation.nii.gz or CASE.nii.gz")


def _cases(folder: Path, inside: Callable[[Path], list[Path]], names: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError("There is no such folder", remedy="Check its name and place", source=str(folder))
    found: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            found.setdefault(entry.name, []).extend(inside(entry))
        else:
            for ending in _ENDINGS:
                if entry.name.endswith(ending):
                    found.setdefault(entry.name[: -len(ending)], []).append(entry)
                    break
    for case, files in found.items():
        if len(files) > 1:
            raise InputError(
                f"There is more than one mask for the case {case}",
                cause=" and ".join(path.relative_to(folder).as_posix() for path in files),
                remedy="Keep one of them",
                source=str(folder),
            )
    cases = {case: files[0] for case, files in found.items() if files}
    if not cases:
        raise InputError("The folder holds no case", remedy=f"Give a folder with {names}", source=str(folder))
    return cases
