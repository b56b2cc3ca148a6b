"""The kinds of image that a study may hold."""

from __future__ import annotations

from enum import Enum


class Modality(str, Enum):
    """An MR modality (or other modality), in canonical order; the value is the name."""

    T1 = "T1"
    T1CE = "T1CE"
    T2 = "T2"
    FLAIR = "FLAIR"
    DWI = "DWI"
    ADC = "ADC"
    SWI = "SWI"
    PD = "PD"
    CT = "CT"
    PET = "PET"

    def __str__(self) -> str:
        return self.value

    @property
    def label(self) -> str:
        """How radiologists write it."""
        return "T1ce" if self is Modality.T1CE else self.value
