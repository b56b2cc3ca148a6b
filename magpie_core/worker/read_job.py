"""DICOM files as images that Slicer loads."""

from __future__ import annotations

from typing import Any

from magpie_core.worker.job_context import JobContext, path_of
from magpie_core.worker.protocol import Message


def read_dicom(job: Message, context: JobContext) -> dict[str, Any]:
    """Job "read": source (folder, zip file), output -> `images` by modality, and `name`; nothing leaves `output`."""
    source, output = path_of(job, "source"), path_of(job, "output")
    context.progress(0.0, "Reading the DICOM files")
    from magpie_core.io.discovery import read_study
    from magpie_core.io.nifti import write_volume

    study = read_study(source)
    for text in study.warnings:
        context.warn(text)
    output.mkdir(parents=True, exist_ok=True)
    images = {}
    for modality, volume in study.volumes.items():
        path = output / f"{modality.value.lower()}.nii"
        write_volume(volume, path)
        images[modality.value] = str(path)
    context.progress(1.0, "Done")
    return {"images": images, "name": study.name}
