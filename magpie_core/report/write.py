"""Puts a result on disk: all of it, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

from magpie_core.errors import InputError
from magpie_core.imaging.study import Study
from magpie_core.io.segmentation_file import write_segmentation
from magpie_core.report.overview import draw_overview
from magpie_core.report.prediction_like import CoregisteredLike, PredictionLike
from magpie_core.report.preprocessing_figure import draw_preprocessing
from magpie_core.report.report import build_report
from magpie_core.storage.atomic import refuse_file, staged_folder

SEGMENTATION, REPORT, OVERVIEW = "segmentation.nii.gz", "report.json", "overview.png"
PREPARATION = "preparation.png"


def write_results(
    study: Study, prediction: PredictionLike, out: Path, *, overwrite: bool = False, picture: bool = True
) -> dict[str, Path]:
    """Write segmentation (with its label schema beside it), report and picture into a folder.

    A new folder appears complete under its name or not at all. In a folder that exists, other files are left
    alone and report.json is the last file to arrive, so that where it lies the result is complete.

    Parameters
    ----------
    study, prediction
        What was segmented, and the result.
    out
        Folder to write to; made if need be.
    overwrite
        Whether an earlier result there may be replaced.
    picture
        Whether to draw the overview, which takes a second; the picture of the preparation, where there was one, is
        always drawn.

    Returns
    -------
    Paths under the keys "segmentation", "report", with `picture` "overview", and "preparation" if the study had to
    be aligned or its brain to be found.

    Raises
    ------
    InputError
        If there is a result already and `overwrite` is False.
    ResourceError
        If the folder cannot be written: no permission, no space.
    """
    out = Path(out)
    if not overwrite:
        refuse_existing(out)
    ready = prediction.ready if prediction.ready and prediction.ready.changed else None
    with staged_folder(out, ours=(OVERVIEW, PREPARATION), last=REPORT) as scratch:
        write_segmentation(prediction.segmentation, scratch / SEGMENTATION)
        if picture:
            draw_overview(ready.study if ready else study, prediction.segmentation, scratch / OVERVIEW)
        if ready:
            draw_preprocessing(ready.study, ready.brain, _moves(ready), scratch / PREPARATION)
        report = json.dumps(build_report(study, prediction), indent=2, ensure_ascii=False)
        (scratch / REPORT).write_text(report + "\n", encoding="utf-8")
    written = {"segmentation": out / SEGMENTATION, "report": out / REPORT}
    if picture:
        written["overview"] = out / OVERVIEW
    if ready:
        written["preparation"] = out / PREPARATION
    return written


def _moves(ready: CoregisteredLike) -> dict[str, str]:
    """By how much each modality was moved, in words."""
    return {
        name: f"moved by {found['shift_mm']:.1f} mm, {found['rotation_deg']:.1f} degrees"
        for name, found in ready.as_dict()["aligned"].items()
    }


def refuse_existing(out: Path) -> None:
    """Raise InputError if a folder holds a result, or is not a folder."""
    refuse_file(out)
    existing = [name for name in (SEGMENTATION, REPORT, OVERVIEW, PREPARATION) if (out / name).exists()]
    if existing:
        raise InputError(
            "There is a result in the output folder already",
            cause=f"found {', '.join(existing)}",
            remedy="Choose another folder, or allow replacing it with --overwrite",
            source=str(out),
        )
