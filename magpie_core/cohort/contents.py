"""What a cohort holds: its sound cases, and which of them a study is, by the content of its images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from magpie_core.cohort.case import Case
from magpie_core.cohort.cohort import Cohort
from magpie_core.errors import InputError
from magpie_core.imaging.background import fingerprint
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_volume


def cohort_at(folder: Path) -> Cohort | None:
    """Return the cohort in a folder; None if it is no cohort."""
    try:
        return Cohort(folder)
    except InputError:
        return None


def sound_cases(cohort: Cohort) -> list[Case]:
    """Return the cases (InputError if there is none, or a file was changed since it was added)."""
    cases = cohort.cases()
    if not cases:
        remedy = "Add cases first (magpie cohort add)"
        raise InputError("The cohort has no cases", remedy=remedy, source=str(cohort.folder))
    changed = [problem for problem in cohort.check() if "not in the log" not in problem]
    if changed:
        raise InputError(
            "The cohort is damaged",
            cause=" ".join(changed),
            remedy="Restore these files, or remove the cases and add them again (magpie cohort remove, add)",
            source=str(cohort.folder),
        )
    return cases


def fingerprints_of(cases: Iterable[Case]) -> dict[str, str]:
    """Return the name of the case that an image is of, by the fingerprint of the image."""
    return {fingerprint(read_volume(path)): case.name for case in cases for path in case.images.values()}


def case_of(volumes: Iterable[Volume], known: Mapping[str, str]) -> str | None:
    """Return the case that one of these images is of, by `fingerprints_of`; None if they are of none."""
    if not known:
        return None
    return next((known[found] for volume in volumes if (found := fingerprint(volume)) in known), None)
