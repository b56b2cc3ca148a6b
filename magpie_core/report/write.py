"""Write a result to disk, completely or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from magpie_core.errors import InputError
from magpie_core.imaging.study import Study
from magpie_core.io.segmentation_file import write_segmentation
from magpie_core.report.overview import draw_overview
from magpie_core.report.preprocessing_figure import draw_preprocessing
from magpie_core.report.report import build_report
from magpie_core.storage.atomic import refuse_file, staged_folder

if TYPE_CHECKING:
    from magpie_core.inference.prediction import Prediction

SEGMENTATION, REPORT, OVERVIEW = "segmentation.nii.gz", "report.json", "overview.png"
PREPARATION = "preparation.png"


def write_results(
    study: Study, prediction: Prediction, out: Path, *, overwrite: bool = False, picture: bool = True
) -> dict[str, Path]:
    """Write segmentation (with its label schema beside it), report and figures into a folder, atomically.

    Other files of a folder that exists are left alone; report.json is the last file to be written, so that where it
    lies the result is complete.

    Args:
        out: Folder to write to; made if need be.
        overwrite: Whether an earlier result there may be replaced.
        picture: Whether to draw the overview, which takes a second; the figure of the preprocessing, where there was
            any, is always drawn.

    Returns:
        Paths under the keys "segmentation", "report", with `picture` "overview", and "preparation" if the study was
        co-registered or its brain extracted.

    Raises:
        InputError: If there is a result already and `overwrite` is False.
        ResourceError: If the folder cannot be written: no permission, no space.
    """
    out = Path(out)
    if not overwrite:
        refuse_existing(out)
    prepared = prediction.prepared
    with staged_folder(out, ours=(OVERVIEW, PREPARATION), last=REPORT) as scratch:
        write_segmentation(prediction.segmentation, scratch / SEGMENTATION)
        if picture:
            draw_overview(prepared.study, prediction.segmentation, scratch / OVERVIEW)
        if prepared.changed:
            draw_preprocessing(prepared, scratch / PREPARATION)
        report = json.dumps(build_report(study, prediction), indent=2, ensure_ascii=False)
        (scratch / REPORT).write_text(report + "\n", encoding="utf-8")
    written = {"segmentation": out / SEGMENTATION, "report": out / REPORT}
    if picture:
        written["overview"] = out / OVERVIEW
    if prepared.changed:
        written["preparation"] = out / PREPARATION
    return written


def refuse_existing(out: Path) -> None:
    """Raise InputError if a folder holds a result, or is not a folder."""
    refuse_file(out)
    existing = [name for name in (SEGMENTATION, REPORT, OVERVIEW, PREPARATION) if (out / name).exists()]
    if existing:
        raise InputError(
            "The output folder holds a result already",
            cause=f"found {', '.join(existing)}",
            remedy="Choose another folder, or allow replacing it with --overwrite",
            source=str(out),
        )
