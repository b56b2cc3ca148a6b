"""A study: the modalities of one visit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from magpie_core.errors import InputError
from magpie_core.imaging.found_image import FoundImage
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.volume import Volume


@dataclass(frozen=True, eq=False)
class Study:
    """The modalities of one visit of one patient.

    Attributes:
        name: Name; used as a folder name for results.
        warnings: About the input, for the reader of the result.
        found: What became of every image that the study's folder held.

    Raises:
        InputError: If there is no volume.
    """

    volumes: Mapping[Modality, Volume]
    name: str
    warnings: tuple[str, ...] = ()
    found: tuple[FoundImage, ...] = ()

    def __post_init__(self) -> None:
        if not self.volumes:
            raise InputError("The study holds no image", source=self.name)
        ordered = {modality: self.volumes[modality] for modality in Modality if modality in self.volumes}
        object.__setattr__(self, "volumes", MappingProxyType(ordered))
        object.__setattr__(self, "warnings", tuple(self.warnings))

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities of the study, in canonical order."""
        return tuple(self.volumes)

    @property
    def reference(self) -> Modality:
        """The modality whose grid the result has: T1ce, else T1, else the finer of T2 and FLAIR, else the finest."""
        for modality in (Modality.T1CE, Modality.T1):
            if modality in self.volumes:
                return modality
        usual = [modality for modality in (Modality.T2, Modality.FLAIR) if modality in self.volumes]
        return min(usual or self.volumes, key=lambda modality: round(self.volumes[modality].voxel_volume_ml, 9))
