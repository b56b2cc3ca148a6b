"""Folds of cases: all visits of a patient in one, and a patient's fold for life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from magpie_core.cohort.case import Case
from magpie_core.errors import InputError

_NONE: Mapping[str, int] = MappingProxyType({})


def split_folds(
    cases: Sequence[Case], number: int, *, kept: Mapping[str, int] = _NONE, source: str = ""
) -> list[list[Case]]:
    """Split cases into folds, all visits of a patient in one, the same way every time.

    Args:
        kept: Fold of patients, from 0, as an earlier call gave it: a fold is for life. Those that it does not name
            are shared out. With it there may be more folds, and empty ones, whose patients were removed.
        source: Folder of the cases, for messages.

    Raises:
        InputError: If there are fewer than two patients, or fewer than folds.
    """
    patients: dict[str, list[Case]] = {}
    for case in cases:
        patients.setdefault(case.patient, []).append(case)
    if len(patients) < 2:
        raise InputError(
            "All cases are of one patient" if patients else "There are no cases",
            cause="each case is evaluated by a model that was trained on other patients",
            remedy="Add cases of another patient" if patients else "Add cases of at least two patients",
            source=source,
        )
    if not 2 <= number <= len(patients):
        raise InputError(
            f"Cannot split the cohort into {number} folds",
            cause=f"it has {len(patients)} patients, and those of a patient stay together",
            remedy="Use at least 2 folds and no more than there are patients",
            source=source,
        )
    number_kept = max((kept[patient] + 1 for patient in patients if patient in kept), default=0)
    folds: list[list[Case]] = [[] for _ in range(max(number, number_kept))]
    for patient in sorted(kept.keys() & patients.keys()):
        folds[kept[patient]].extend(patients.pop(patient))
    # Largest patients first, each into the smallest fold; among equal ones the hash decides, which is random.
    for patient in sorted(patients, key=lambda key: (-len(patients[key]), key)):
        min(folds, key=len).extend(patients[patient])
    return folds
