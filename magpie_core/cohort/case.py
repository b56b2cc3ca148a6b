"""One annotated case of a cohort, and the checks of a new one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.background import fingerprint
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.label_schema import SCHEMAS
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.io.nifti import read_volume
from magpie_core.storage.audit_log import Entry

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
_GRID_TOLERANCE_MM = 0.05
PREPARATION = "{name}_preparation.json"


@dataclass(frozen=True)
class Case:
    """An annotated visit.

    Attributes:
        name: "sub-<patient>_ses-<visit>".
        patient: Salted hash of the patient's identity; the same for all visits of a patient.
        labels: The corrected segmentation; its schema lies beside it.
        added: When it was added, UTC, ISO 8601.
        digests: SHA-256 of each file, by its name.
        recorded_fingerprints: Of each image, by modality; empty if version 0.5 or earlier added the case.
        edited: Fraction of the tumor (union of proposal and correction) that was changed, 0 to 1; None without a
            proposal.
    """

    name: str
    patient: str
    folder: Path
    images: Mapping[Modality, Path]
    labels: Path
    annotator: str
    added: str
    digests: Mapping[str, str]
    recorded_fingerprints: Mapping[str, str]
    edited: float | None

    @property
    def preparation(self) -> Path | None:
        """Record of how the images were prepared; None if nothing had to be done, or an older version added it."""
        file = PREPARATION.format(name=self.name)
        return self.folder / file if file in self.digests else None

    @property
    def content(self) -> str:
        """What all its files hold, 64 hexadecimal digits; another one if the labels are corrected anew."""
        return hashlib.sha256("".join(sorted(self.digests.values())).encode()).hexdigest()

    @cached_property
    def fingerprints(self) -> frozenset[str]:
        """What the images are, however they are stored (InputError if one must be read for it and cannot be)."""
        return frozenset(self.recorded_fingerprints.values()) or frozenset(
            fingerprint(read_volume(path)) for path in self.images.values()
        )

    @classmethod
    def from_entry(cls, cohort: Path, entry: Entry) -> Case:
        """Return the case that an "add" entry of the log of a cohort's folder describes."""
        name, digests = entry.details["case"], entry.details["digests"]
        folder = cohort.joinpath(*name.split("_"), "anat")
        files = {modality: f"{name}_{suffix}.nii.gz" for modality, suffix in BIDS_NAMES.items()}
        images = {modality: folder / file for modality, file in files.items() if file in digests}
        return cls(
            name=name,
            patient=entry.details["patient"],
            folder=folder,
            images=images,
            labels=folder / f"{name}_dseg.nii.gz",
            annotator=entry.user,
            added=entry.time,
            digests=digests,
            recorded_fingerprints=entry.details.get("fingerprints", {}),
            edited=entry.details["edited"],
        )


def edited_fraction(proposal: Segmentation, correction: Segmentation) -> float:
    """Return the fraction of the tumor (union of both) whose label was changed, 0 to 1 (InputError on other grids)."""
    if not proposal.geometry.matches(correction.geometry, _GRID_TOLERANCE_MM):
        raise InputError("The proposal and the correction lie on different grids", source=correction.source)
    before, after = (one.schema.convert(one.labels, SCHEMAS["magpie"]) for one in (proposal, correction))
    union = int(np.count_nonzero((before > 0) | (after > 0)))
    return float(np.count_nonzero(before != after) / union) if union else 0.0


def check_segmentation(study: Study, segmentation: Segmentation) -> None:
    """Raise InputError if a segmentation lies on no grid of the study, or a region fills the whole image."""
    geometry = segmentation.geometry
    if not any(volume.geometry.matches(geometry, _GRID_TOLERANCE_MM) for volume in study.volumes.values()):
        raise InputError(
            "The segmentation lies on another grid than the images",
            cause=f"its size is {' x '.join(map(str, geometry.shape))}",
            remedy="Export it on the grid of one of the modalities",
            source=segmentation.source or study.name,
        )
    for region in Region:
        if segmentation.mask(region).all():
            raise InputError(f"The segmentation is {region.label.lower()} everywhere", source=segmentation.source)
