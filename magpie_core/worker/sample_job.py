"""A synthetic study to try things with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from magpie_core.worker.job_context import JobContext, path_of
from magpie_core.worker.protocol import Message

_SPACING_MM = 1.5  # fine enough to look at, and made in seconds


def make_sample(job: Message, context: JobContext) -> dict[str, Any]:
    """Job "sample": output, seed, anatomy -> `images` by modality, and `truth`. No patient, nothing downloaded."""
    output = path_of(job, "output")
    context.progress(0.0, "Making a synthetic study")
    from magpie_core.synthesis.anatomy import Anatomy
    from magpie_core.synthesis.generator import GliomaGenerator
    from magpie_core.synthesis.write_study import grid_shape, write_synthetic

    anatomy = job.get("anatomy")
    generator = GliomaGenerator(
        Anatomy.find(None if anatomy is None else Path(anatomy)),
        spacing_mm=_SPACING_MM,
        shape=grid_shape(_SPACING_MM),
    )
    (sample,) = generator.sample(int(job.get("seed") or 2), kind="glioblastoma")
    context.progress(0.9, "Writing the images")
    folder = write_synthetic(sample, output)
    context.progress(1.0, "Done")
    names = ("T1", "T1CE", "T2", "FLAIR")
    return {
        "images": {name: str(folder / f"{name.lower()}.nii.gz") for name in names},
        "truth": str(folder / "seg.nii.gz"),
    }
