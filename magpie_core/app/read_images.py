"""Use case: DICOM files as images that every program reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from magpie_core.app.requests import StudyRequest
from magpie_core.imaging.modality import Modality
from magpie_core.progress import Progress, no_progress


@dataclass(frozen=True, kw_only=True)
class ReadImagesRequest(StudyRequest):
    """A study to read, and the folder for its images."""

    output: Path


@dataclass(frozen=True)
class ReadImagesResult:
    """The study's name, the image of each modality, what became of every series and file, and warnings."""

    name: str
    images: Mapping[Modality, Path]
    found: tuple[Mapping[str, str | None], ...]
    warnings: tuple[str, ...]


def read_images(request: ReadImagesRequest, *, progress: Progress = no_progress) -> ReadImagesResult:
    """Read a study and write its images as NIfTI files into the output folder (InputError if it cannot be read)."""
    from magpie_core.io.nifti import write_volume

    progress(0.0, "Reading the images")
    study = request.read()
    request.output.mkdir(parents=True, exist_ok=True)
    images = {}
    for modality, volume in study.volumes.items():
        images[modality] = request.output / f"{modality.value.lower()}.nii"
        write_volume(volume, images[modality])
    progress(1.0, "Done")
    return ReadImagesResult(study.name, images, tuple(image.as_dict() for image in study.found), study.warnings)
