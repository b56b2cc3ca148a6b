"""One annotated case of a cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from magpie_core.imaging.modality import Modality

# BIDS: entities and suffix of each modality.
BIDS_NAMES = {
    Modality.T1: "T1w",
    Modality.T1CE: "ce-gadolinium_T1w",
    Modality.T2: "T2w",
    Modality.FLAIR: "FLAIR",
    Modality.DWI: "dwi",
    Modality.ADC: "ADC",
    Modality.SWI: "swi",
    Modality.PD: "PDw",
    Modality.CT: "ct",
    Modality.PET: "pet",
}


@dataclass(frozen=True)
class Case:
    """An annotated visit.

    Attributes
    ----------
    name
        "sub-<patient>_ses-<visit>".
    patient
        Salted hash of the patient's identity; the same for all visits of a patient.
    folder
        Where its files lie.
    images
        File of each modality.
    labels
        The corrected segmentation; its schema lies beside it.
    annotator
        Who corrected it.
    added
        When it joined, UTC, ISO 8601.
    digests
        SHA-256 of each file, by its name.
    edited
        Share of the tumor (union of proposal and correction) that was changed, 0 to 1; None without a proposal.
    """

    name: str
    patient: str
    folder: Path
    images: Mapping[Modality, Path]
    labels: Path
    annotator: str
    added: str
    digests: Mapping[str, str]
    edited: float | None
