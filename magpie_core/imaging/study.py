"""The sequences of one visit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Sequence
from magpie_core.imaging.volume import Volume


@dataclass(frozen=True, eq=False)
class Study:
    """The sequences of one visit of one patient.

    Attributes
    ----------
    volumes
        One volume per sequence, at least one.
    name
        What to call it; used as a folder name for results.
    warnings
        What a reader of the result must know about the input.

    Raises
    ------
    InputError
        If there is no volume.
    """

    volumes: Mapping[Sequence, Volume]
    name: str
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.volumes:
            raise InputError("The study holds no image", source=self.name)
        ordered = {sequence: self.volumes[sequence] for sequence in Sequence if sequence in self.volumes}
        object.__setattr__(self, "volumes", MappingProxyType(ordered))
        object.__setattr__(self, "warnings", tuple(self.warnings))

    @property
    def sequences(self) -> tuple[Sequence, ...]:
        """What is there, in canonical order."""
        return tuple(self.volumes)

    @property
    def reference(self) -> Sequence:
        """Whose grid the result is given on: T1ce, else T1, else the finer of T2 and FLAIR, else the finest."""
        for sequence in (Sequence.T1CE, Sequence.T1):
            if sequence in self.volumes:
                return sequence
        usual = [sequence for sequence in (Sequence.T2, Sequence.FLAIR) if sequence in self.volumes]
        return min(
            usual or self.volumes, key=lambda sequence: round(self.volumes[sequence].voxel_volume_ml, 9)
        )
