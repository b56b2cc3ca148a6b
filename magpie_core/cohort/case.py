"""One annotated case of a cohort, and the checks of a new one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError, MagpieError
from magpie_core.imaging.background import bounding_box, fingerprint, perceptual_hash
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.label_schema import SCHEMAS
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_volume
from magpie_core.io.segmentation_file import read_segmentation
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
        recorded_perceptual_hashes: Of each image, by modality, base64; empty if 0.5.0 or earlier added the case.
        recorded_outline: `outline_hash` of the segmentation; empty if 0.5.0 or earlier added the case.
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
    recorded_perceptual_hashes: Mapping[str, str]
    recorded_outline: str
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

    @property
    def perceptual_hashes(self) -> np.ndarray:
        """Perceptual hash of each image, a row of (N, V) uint8."""
        return unpack_hashes(self.recorded_perceptual_hashes.values())

    @cached_property
    def outline(self) -> str:
        """`outline_hash` of its segmentation; empty if it must be read for it and cannot be."""
        with suppress(MagpieError):
            return self.recorded_outline or outline_hash(read_segmentation(self.labels))
        return ""

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
            recorded_perceptual_hashes=entry.details.get("perceptual_hashes", {}),
            recorded_outline=entry.details.get("outline", ""),
            edited=entry.details["edited"],
        )


def pack_hash(volume: Volume) -> str:
    """Return the perceptual hash of an image as text."""
    return base64.b64encode(perceptual_hash(volume).tobytes()).decode()


def unpack_hashes(texts: Iterable[str]) -> np.ndarray:
    """Return the perceptual hashes that `pack_hash` returned, a row of (N, V) uint8 for each."""
    rows = [np.frombuffer(base64.b64decode(text), np.uint8) for text in texts]
    return np.stack(rows) if rows else np.zeros((0, 0), np.uint8)


def outline_hash(segmentation: Segmentation) -> str:
    """Return a hash of the tissues and their shape, 64 digits; empty if there is no tumor.

    The same whatever the integers, the order of the axes and the place in the world.
    """
    order = Reorientation.of(segmentation.geometry)
    labels = order.apply(segmentation.schema.convert(segmentation.labels, SCHEMAS["brats-2024"]))
    box = bounding_box(labels > 0)
    if box is None:
        return ""
    return hashlib.sha256(repr(labels[box].shape).encode() + np.ascontiguousarray(labels[box]).tobytes()).hexdigest()


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
