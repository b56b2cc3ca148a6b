"""Use case: make a synthetic study to try things with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.progress import Progress, no_progress
from magpie_core.storage.ranges import SEED, check_ranges

ANATOMY = "Folder of label maps of heads (default: one that is installed)."
_SPACING_MM = 1.5  # fine enough to look at, and made in seconds


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """A synthetic study, and the folder for its files."""

    output: Path
    seed: Annotated[int, "Random seed of the synthetic study.", SEED] = 2
    anatomy: Annotated[Path | None, ANATOMY] = None

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class SampleResult:
    """The image of each modality, and the reference segmentation."""

    images: Mapping[Modality, Path]
    reference_segmentation: Path


def sample(request: SampleRequest, *, progress: Progress = no_progress) -> SampleResult:
    """Make a glioblastoma in a synthetic brain (MagpieError without label maps, or if it cannot be written)."""
    from magpie_core.synthesis.anatomy import Anatomy
    from magpie_core.synthesis.generator import GliomaGenerator, grid_shape
    from magpie_core.synthesis.synthetic_study import write_synthetic

    progress(0.0, "Making a synthetic study")
    generator = GliomaGenerator(Anatomy.find(request.anatomy), spacing_mm=_SPACING_MM, shape=grid_shape(_SPACING_MM))
    (study,) = generator.sample(request.seed, phenotype="glioblastoma")
    progress(0.9, "Writing the images")
    folder = write_synthetic(study, request.output)
    progress(1.0, "Done")
    images = {modality: folder / f"{modality.value.lower()}.nii.gz" for modality in GLIOMA_MODALITIES}
    return SampleResult(images, folder / "seg.nii.gz")
