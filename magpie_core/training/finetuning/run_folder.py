"""What a run folder of fine-tuning holds the teaching of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from magpie_core.cohort.case import Case
from magpie_core.errors import InputError
from magpie_core.models.model import Model
from magpie_core.study.atomic import write_bytes


def open_run(
    folder: Path, folds: list[list[Case]], start: Model, *, stopping: bool, anew: bool = False
) -> None:
    """Begin a run in `folder`, or go on with it if it is of the same cases in the same folds, and the same start.

    Otherwise a model of the earlier run could judge a case that it was taught.

    Parameters
    ----------
    stopping
        Whether a fold says when to stop, and does not teach.
    anew
        What to do if another teaching was begun there: remove what it learned, or refuse.

    Raises
    ------
    InputError
        If another teaching was begun there and is not to be removed.
    """
    told = {
        "start": start.hash,
        "stopping": stopping,
        "folds": [{case.name: dict(case.digests) for case in fold} for fold in folds],
    }
    path = folder / "cases.json"
    learned = [*folder.glob("fold*"), *(folder / part for part in ("all", "evidence"))]
    learned = [part for part in learned if part.exists()]
    if learned and _read(path) != told:
        if not anew:
            raise InputError(
                "The run folder holds the teaching of other cases or of another model",
                cause="cases were added, changed or removed since, or another version is in use",
                remedy="Choose another folder, or delete this one",
                source=str(folder),
            )
        for part in learned:
            shutil.rmtree(part)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(path, (json.dumps(told, indent=2) + "\n").encode())


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
