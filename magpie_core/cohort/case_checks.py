"""Checks of a case: its names, whether the cohort has it already, and whether its files are what was added."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from magpie_core.cohort.case import Case, unpack_hashes
from magpie_core.errors import InputError
from magpie_core.imaging.background import similarities
from magpie_core.storage.manifest import file_hash

_LEAST_SIMILARITY = 0.999  # of copies with fewer digits or gray values; between patients `perceptual_hash` has 0.97


def check_names(patient: str, visit: str, *, source: str) -> None:
    """Raise InputError if a case cannot be added under these names."""
    if not patient.strip():
        raise InputError(
            "A case needs a patient",
            cause="cases of one patient must stay in one fold",
            remedy="Give the patient's number as your site uses it; only a hash of it is kept",
            source=source,
        )
    if visit and not re.fullmatch(r"[A-Za-z0-9]{1,64}", visit):
        raise InputError(
            "This name of a visit cannot be used", remedy="Use up to 64 letters (A to Z) and digits", source=visit
        )


def damage_of(case: Case) -> list[str]:
    """Return a sentence for each file of a case that is not what was added."""
    problems = []
    for file, expected in case.digests.items():
        path = case.folder / file
        if not path.is_file():
            problems.append(f"{path}: The file is missing.")
        elif file_hash(path) != expected:
            problems.append(f"{path}: The file was changed since it was added.")
    return problems


def refuse_duplicate(
    known: Iterable[Case], fingerprints: Mapping[str, str], perceptual_hashes: Mapping[str, str], source: str
) -> None:
    """Raise InputError if an image is in the cohort already, under whatever name and however it was stored."""
    ours = unpack_hashes(perceptual_hashes.values())
    for case in known:
        others = case.perceptual_hashes
        is_altered = len(others) > 0 and similarities(ours, others).max() > _LEAST_SIMILARITY
        if is_altered or not case.fingerprints.isdisjoint(fingerprints.values()):
            raise InputError(
                "The cohort has this study already",
                cause=f"an image of it is in {case.name}",
                remedy="Remove that case first if this correction is better",
                source=source,
            )
