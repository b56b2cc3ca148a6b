"""Scores a folder of segmentations against a folder of truths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from magpie_core.errors import InputError
from magpie_core.evaluation.region_metrics import WORST_HD95_MM, evaluate_case
from magpie_core.study.label_schema import LabelSchema, Region
from magpie_core.study.segmentation import read_segmentation

_SCORES = ("dice", "hd95_mm")
_ENDINGS = (".nii.gz", ".nii")


def evaluate_folders(
    predictions: Path,
    truths: Path,
    *,
    truth_schema: LabelSchema | str | None = None,
    prediction_schema: LabelSchema | str | None = None,
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
    progress
        Called with the fraction done and the case at hand.

    Returns
    -------
    dict
        Plain values: `cases` (one row each: case, truth_has_et, and per region dice, hd95_mm, volume_ml,
        truth_volume_ml), `mean`, `mean_with_et`, `mean_without_et` (over all cases, over those with enhancing
        tumour in the truth, and over those without; None where there is none), `unused_predictions`, and the
        `empty_mask_rule`.

    Raises
    ------
    InputError
        If a folder holds no case, a prediction is missing, a mask is faulty, or grids differ.
    """
    expected = _truth_files(Path(truths))
    found = _prediction_files(Path(predictions))
    missing = sorted(set(expected) - set(found))
    if missing:
        shown = ", ".join(missing[:8]) + (", ..." if len(missing) > 8 else "")
        raise InputError(
            f"{len(missing)} of {len(expected)} cases have no prediction",
            cause=shown,
            remedy="Segment these cases too (CASE/segmentation.nii.gz or CASE.nii.gz), or take them from the truths",
            source=str(predictions),
        )
    rows = []
    for index, (case, truth_file) in enumerate(sorted(expected.items())):
        if progress is not None:
            progress(index / len(expected), case)
        truth = read_segmentation(truth_file, truth_schema)
        scores = evaluate_case(read_segmentation(found[case], prediction_schema), truth)
        rows.append({"case": case, "truth_has_et": scores["ET"]["truth_volume_ml"] > 0, **scores})
    return {
        "cases": rows,
        "mean": _mean(rows),
        "mean_with_et": _mean([row for row in rows if row["truth_has_et"]]),
        "mean_without_et": _mean([row for row in rows if not row["truth_has_et"]]),
        "unused_predictions": sorted(set(found) - set(expected)),
        "empty_mask_rule": {
            "name": "BraTS",
            "both_empty": {"dice": 1.0, "hd95_mm": 0.0},
            "one_empty": {"dice": 0.0, "hd95_mm": WORST_HD95_MM},
        },
    }


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    if not rows:
        return None
    means: dict[str, Any] = {"cases": len(rows)}
    for region in Region:
        means[region.value] = {
            score: sum(row[region.value][score] for row in rows) / len(rows) for score in _SCORES
        }
    return means


def _truth_files(folder: Path) -> dict[str, Path]:
    def inside(case: Path) -> list[Path]:
        exact = [case / f"seg{ending}" for ending in _ENDINGS if (case / f"seg{ending}").is_file()]
        return exact or sorted(path for ending in _ENDINGS for path in case.glob(f"*[-_]seg{ending}"))

    return _cases(folder, inside, "CASE/seg.nii.gz or CASE.nii.gz")


def _prediction_files(folder: Path) -> dict[str, Path]:
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
