"""The cases that a model was trained on, by patient and by content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from magpie_core.cohort.case import Case

SEEN = "seen"
"""Key of the training record of a model: the cases that it or an ancestor was trained on."""


@dataclass(frozen=True)
class Seen:
    """The cases that a model, or one of its ancestors, was trained on.

    Attributes:
        patients: Salted hashes.
        images: Fingerprints.
    """

    patients: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()

    @classmethod
    def of(cls, cases: Iterable[Case]) -> Seen:
        """Return what a training on these cases sees."""
        cases = list(cases)
        images = frozenset(image for case in cases for image in case.fingerprints)
        return cls(frozenset(case.patient for case in cases), images)

    @classmethod
    def by(cls, training: Mapping[str, Any]) -> Seen:
        """Return what a model saw, by its training record.

        Version 0.5 kept the names of the last training's cases alone; they name the patient.
        """
        if SEEN in training:
            return cls(frozenset(training[SEEN]["patients"]), frozenset(training[SEEN]["images"]))
        names = [str(name) for name in training.get("cases", []) if str(name).startswith("sub-")]
        return cls(frozenset(name.removeprefix("sub-").split("_ses-")[0] for name in names))

    def __or__(self, other: Seen) -> Seen:
        return Seen(self.patients | other.patients, self.images | other.images)

    def holds(self, case: Case) -> bool:
        """Whether the case, or another one of its patient, is among them."""
        return case.patient in self.patients or bool(case.fingerprints & self.images)

    def as_dict(self) -> dict[str, list[str]]:
        """Return plain values for the training record."""
        return {"patients": sorted(self.patients), "images": sorted(self.images)}
