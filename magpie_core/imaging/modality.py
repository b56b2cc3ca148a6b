"""Modalities: the images that a study may hold."""

from __future__ import annotations

from enum import Enum


class Modality(str, Enum):
    """An MR pulse sequence or other modality, in canonical order; the value is its name."""

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
        """Display name, as radiologists write it."""
        return "T1ce" if self is Modality.T1CE else self.value


GLIOMA_MODALITIES = (Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR)
"""The modalities that MAGPIE segments gliomas from, in the order of its networks' channels."""

GLIOMA_MODALITY_NAMES = tuple(modality.value for modality in GLIOMA_MODALITIES)
"""The same as plain strings, for configurations and files."""
