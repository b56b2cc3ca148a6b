"""A case as it leaves a cohort: images and labels on one grid, labels in one schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from magpie_core.cohort.case import Case
from magpie_core.imaging.label_schema import LabelSchema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study_checks import with_skull
from magpie_core.imaging.volume import Volume
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.preprocessing.preparation_cache import PreparationCache
from magpie_core.preprocessing.resampling import resample_to_grid

_SAME_GRID_MM = 0.05


@dataclass(frozen=True, eq=False)
class AlignedCase:
    """A case on the grid of its labels, which are never interpolated.

    Attributes:
        images: Co-registered to the reference, and on the grid of the labels by linear interpolation.
        labels: As stored, moved with the image that they were drawn on.
        drawn_on: The modality whose grid this is; None if it is that of no image.
        resampled: Modalities that had another grid.
        with_skull: Modalities that show the whole head.
    """

    name: str
    images: Mapping[Modality, Volume]
    labels: Segmentation
    drawn_on: Modality | None
    resampled: tuple[Modality, ...]
    with_skull: tuple[Modality, ...]

    @property
    def note(self) -> str:
        """What was resampled, and to which grid, as a sentence; empty if nothing was."""
        if not self.resampled:
            return ""
        grid = "the labels" if self.drawn_on is None else f"its {self.drawn_on.label}, on which the labels lie"
        names = ", ".join(modality.label for modality in self.resampled)
        return f"{self.name}: {names} resampled to the grid of {grid}."


def align_case(case: Case, schema: LabelSchema, preparations: PreparationCache) -> AlignedCase:
    """Read a case, co-register it where that has not been done, and resample it to the grid of its labels.

    Args:
        schema: Label schema wanted.

    Raises:
        InputError: If a file is faulty, or the images cannot be co-registered.
        ResourceError: If they must be, and a package for it is missing.
    """
    study = read_study(case.images, name=case.name)
    stored = read_segmentation(case.labels)
    same = [key for key, volume in study.volumes.items() if volume.geometry.matches(stored.geometry, _SAME_GRID_MM)]
    prepared = preparations.prepare(study)
    moved = prepared.move_with_images(stored)
    grid = moved.geometry
    images, resampled = {}, []
    for modality, volume in prepared.study.volumes.items():
        images[modality] = Volume(resample_to_grid(volume, grid), grid.affine, volume.source)
        if not volume.geometry.matches(grid, _SAME_GRID_MM):
            resampled.append(modality)
    return AlignedCase(
        name=case.name,
        images=images,
        labels=Segmentation(moved.schema.convert(moved.labels, schema), grid.affine, schema, str(case.labels)),
        drawn_on=study.reference if study.reference in same else next(iter(same), None),
        resampled=tuple(resampled),
        with_skull=tuple(with_skull(study)),
    )
