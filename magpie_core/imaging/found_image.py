"""The account of what a study's folder held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from magpie_core.imaging.modality import Modality


@dataclass(frozen=True)
class FoundImage:
    """A series or file, and what became of it.

    Attributes:
        label: The series or file, for the user.
        use: Whether it was used, set aside on purpose, or could not be read; of a study that is refused, what could
            have been used is a candidate.
        modality: What it was used as, or could be; None otherwise.
        reason: Why it was taken for that, or why it was not used.
    """

    label: str
    use: Literal["used", "candidate", "set aside", "not readable"]
    modality: Modality | None
    reason: str

    def as_dict(self) -> dict[str, str | None]:
        """Return plain values for JSON."""
        modality = None if self.modality is None else self.modality.value
        return {"image": self.label, "use": self.use, "modality": modality, "reason": self.reason}
