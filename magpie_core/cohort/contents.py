"""Which case of a cohort a study is, by the content of its images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from magpie_core.cohort.case import Case
from magpie_core.cohort.cohort import Cohort
from magpie_core.errors import InputError


def cohort_at(folder: Path) -> Cohort | None:
    """Return the cohort in a folder; None if it is no cohort."""
    try:
        return Cohort(folder)
    except InputError:
        return None


def case_of(fingerprints: Iterable[str], cases: Iterable[Case]) -> Case | None:
    """Return the first case that has one of these images; None if none has."""
    wanted = frozenset(fingerprints)
    return next((case for case in cases if wanted & case.fingerprints), None)
