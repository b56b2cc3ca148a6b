"""A study ready for the model: modalities co-registered, brain extracted, resampled to a model grid when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.study_checks import on_one_grid, with_skull
from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing.model_grid import ModelGridStudy, resample_to_model_grid
from magpie_core.preprocessing.registration import Registration, register
from magpie_core.progress import Progress, no_progress, part_of

BUILT_IN_BRAIN_EXTRACTION = "magpie"
_LEAST_SHARPNESS = 0.05
_LEAST_GAIN = 0.05
_MOVED_MM = 1.0
_AGREED_MM = 5.0
_FARTHEST_MM = 80.0
_SAME_GRID_MM = 0.05
_PICTURE = "picture Co-registration and brain mask (preparation.png)"


@dataclass(frozen=True, eq=False)
class PreparedStudy:
    """The one form in which segmenting, training, attention and data preparation take a study.

    Attributes:
        study: The modalities in the world of the reference: voxels as stored, affines moved.
        brain: Mask of the brain; None where the images hold the brain alone.
        registrations: How each modality was moved; empty if none was.
        brain_extraction: Method that is used where the images show the whole head.
        warnings: What was done and what is uncertain, for the user.
        digest: Identifies the images and the method it was made with (`preparation_digest`).
    """

    study: Study
    brain: Volume | None = None
    registrations: Mapping[Modality, Registration] = field(default_factory=dict)
    brain_extraction: str = BUILT_IN_BRAIN_EXTRACTION
    warnings: tuple[str, ...] = ()
    digest: str = ""
    _grids: dict[float, ModelGridStudy] = field(default_factory=dict, repr=False)

    @property
    def changed(self) -> bool:
        """Whether anything had to be done."""
        return self.brain is not None or bool(self.registrations)

    def on_model_grid(self, spacing_mm: float) -> ModelGridStudy:
        """Resample to the model grid of a voxel size; the last grid is kept (InputError if no brain is found)."""
        if spacing_mm not in self._grids:
            grid = resample_to_model_grid(self.study, spacing_mm=spacing_mm, brain=self.brain)
            self._grids.clear()
            self._grids[spacing_mm] = grid
        return self._grids[spacing_mm]

    def move_with_images(self, segmentation: Segmentation) -> Segmentation:
        """Move a segmentation along with the image that it was drawn on: the one that had its grid.

        What was drawn on the reference's grid, or on none of the images', stays where it is.
        """
        reference = self.study.volumes[self.study.reference].geometry
        if segmentation.geometry.matches(reference, _SAME_GRID_MM):
            return segmentation
        for modality, registration in self.registrations.items():
            moved = self.study.volumes[modality]
            original = Geometry(moved.shape, np.linalg.inv(registration.matrix) @ moved.affine)
            if segmentation.geometry.matches(original, _SAME_GRID_MM):
                affine = registration.matrix @ segmentation.affine
                return Segmentation(segmentation.labels, affine, segmentation.schema, segmentation.source)
        return segmentation

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for the report: what was aligned, by how much, and the brain's volume."""
        aligned = {
            modality.value: {
                "shift_mm": round(found.shift_mm, 2),
                "rotation_deg": round(found.rotation_deg, 2),
                "similarity": round(found.similarity, 3),
                "sharpness": round(found.sharpness, 3),
                "to_reference": np.round(found.matrix, 6).tolist(),
            }
            for modality, found in self.registrations.items()
        }
        brain_ml, method = None, None
        if self.brain is not None:
            brain_ml = round(float(np.count_nonzero(self.brain.data)) * self.brain.voxel_volume_ml, 1)
            method = self.brain_extraction
        return {"aligned": aligned, "brain_ml": brain_ml, "brain_extraction": method}


def prepare_study(
    study: Study,
    *,
    brain_extraction: str = BUILT_IN_BRAIN_EXTRACTION,
    threads: int | None = None,
    progress: Progress = no_progress,
) -> PreparedStudy:
    """Co-register the modalities of a study and extract the brain, where that has not been done before.

    Images of the brain alone, all on one grid, are left as they are. `PreparationCache` does not do it twice.

    Args:
        brain_extraction: "magpie" for MAGPIE's own network, else an installed program
            (`brain_extraction.EXTERNAL_METHODS`).

    Raises:
        InputError: If a modality cannot be co-registered with certainty, or no brain is found.
        ResourceError: If SimpleITK or the program for brain extraction is needed and not installed.
    """
    digest = preparation_digest(study, brain_extraction)
    whole_heads = with_skull(study)
    if not whole_heads and on_one_grid(study):
        return PreparedStudy(study, brain_extraction=brain_extraction, digest=digest)
    volumes, registrations, warnings = _coregister(study, bool(whole_heads), threads, part_of(progress, 0.0, 0.8))
    aligned = Study(volumes, study.name, study.warnings)
    brain = None
    if whole_heads:
        progress(0.8, "Extracting the brain")
        shown = [aligned.volumes[study.reference]]
        shown += [aligned.volumes[modality] for modality in whole_heads if modality is not study.reference]
        brain, notes = _extract_brain(shown, brain_extraction, threads)
        warnings += notes
    progress(1.0, "Prepared")
    return PreparedStudy(aligned, brain, registrations, brain_extraction, tuple(warnings), digest)


def preparation_digest(study: Study, brain_extraction: str) -> str:
    """Return 32 hex digits that identify the images (voxels and places) and the method for brain extraction."""
    digest = hashlib.blake2b(brain_extraction.encode(), digest_size=16)
    for modality, volume in study.volumes.items():
        # As a NIfTI file keeps them: the digest is the same before and after a study is written.
        digest.update(f"{modality} {volume.shape} {volume.affine.astype(np.float32).tolist()}".encode())
        digest.update(np.ascontiguousarray(volume.data, np.float32).data)
    return digest.hexdigest()


def _coregister(
    study: Study, whole_heads: bool, threads: int | None, progress: Progress
) -> tuple[dict[Modality, Volume], dict[Modality, Registration], list[str]]:
    """Register every modality to the reference; volumes with moved affines, registrations, warnings."""
    fixed = study.volumes[study.reference]
    volumes = {study.reference: fixed}
    registrations: dict[Modality, Registration] = {}
    others = [modality for modality in study.modalities if modality is not study.reference]
    warnings = []
    for done, modality in enumerate(others):
        progress(done / len(others), f"Co-registering the {modality.label}")
        volume = study.volumes[modality]
        if not whole_heads and on_one_grid(Study({study.reference: fixed, modality: volume}, study.name)):
            volumes[modality] = volume  # brains on one grid were co-registered before
            continue
        found = register(volume, fixed, threads=threads)
        if whole_heads:
            _refuse_bad_fit(found, modality, study)
        elif found.sharpness < _LEAST_SHARPNESS or found.gain < _LEAST_GAIN:
            # Brains on different grids have mostly been co-registered before; only a clear gain says otherwise.
            volumes[modality] = volume
            continue
        if found.agreement_mm > _AGREED_MM:
            warnings.append(
                f"How the {modality.label} lies to the {study.reference.label} is not certain: please look at the "
                f"{_PICTURE}."
            )
        registrations[modality] = found
        volumes[modality] = Volume(volume.data, found.matrix @ volume.affine, volume.source, volume.warnings)
    moved = [
        f"{modality.label} by {found.shift_mm:.1f} mm and {found.rotation_deg:.1f} degrees"
        for modality, found in registrations.items()
        if found.shift_mm > _MOVED_MM or found.rotation_deg > 1
    ]
    if moved:
        warnings.append(f"Co-registered to the {study.reference.label}: {', '.join(moved)}.")
    return volumes, registrations, warnings


def _extract_brain(images: list[Volume], method: str, threads: int | None) -> tuple[Volume, list[str]]:
    """Mask of the brain in images of the whole head, and warnings."""
    from magpie_core.preprocessing.brain_extraction import extract_brain, extract_brain_with

    warnings = []
    if method == BUILT_IN_BRAIN_EXTRACTION:
        extracted = extract_brain(images, threads=threads)
        brain = extracted.mask
        if extracted.doubtful:
            warnings.append(
                "The brain could not be separated with certainty from what surrounds it: the result is not reliable "
                f"unless its outline in the {_PICTURE} is right."
            )
    else:
        brain = extract_brain_with(method, images[0])
    warnings.append(
        "The images show the whole head: the brain was extracted automatically. Please look at its outline in the "
        f"{_PICTURE}."
    )
    return brain, warnings


def _refuse_bad_fit(found: Registration, modality: Modality, study: Study) -> None:
    if found.sharpness >= _LEAST_SHARPNESS and found.shift_mm <= _FARTHEST_MM:
        return
    raise InputError(
        f"The {modality.label} could not be co-registered to the {study.reference.label} with certainty",
        cause="the two images have too little in common",
        remedy="Check that both show the same head; leave the modality out, or co-register it yourself first",
        source=study.volumes[modality].source,
    )
