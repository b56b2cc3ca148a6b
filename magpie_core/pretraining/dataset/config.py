"""How the studies of a pretraining dataset are prepared: the same for all studies of a dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from magpie_core.errors import InputError
from magpie_core.storage.atomic import write_bytes
from magpie_core.storage.config import from_plain, read_mapping, to_plain

CONFIG = "dataset.json"
_VERSION = 1
_VERSION_KEY = "magpie_dataset"
INTENSITIES = ("zscore", "paper")
PAPER_SCALE = 6.0
"""Value in a sample of 1 in the MAGPIE paper's intensities."""


@dataclass(frozen=True)
class DatasetConfig:
    """How studies become samples (InputError if a value is impossible).

    Attributes:
        intensities: "zscore": mean 0 and standard deviation 1 in the brain, as everywhere in MAGPIE. "paper": bias
            field corrected (N4) and scaled to 0 ... 1 in the brain, stored as 0 ... 6 to use the sample's range; divide
            by `PAPER_SCALE`.
        validation_fraction: Fraction of the subjects (not of the studies) in the validation split; a subject's split
            follows from its name alone.
    """

    spacing_mm: float = 2.0
    intensities: str = "zscore"
    validation_fraction: float = 0.05

    def __post_init__(self) -> None:
        if self.intensities not in INTENSITIES:
            raise InputError(f"Unknown intensities '{self.intensities}'", remedy=f"Use one of {', '.join(INTENSITIES)}")
        if not 0.5 <= self.spacing_mm <= 8:
            raise InputError(
                f"Cannot prepare samples with voxels of {self.spacing_mm:g} mm", remedy="Use 0.5 to 8 mm, such as 2"
            )
        if not 0 <= self.validation_fraction < 1:
            raise InputError(
                "The fraction of subjects for validation must be at least 0 and less than 1",
                cause=f"it is {self.validation_fraction:g}",
            )

    @classmethod
    def read(cls, folder: Path) -> DatasetConfig:
        """Read the configuration of an existing dataset (InputError if the folder is none)."""
        try:
            found = read_mapping(folder / CONFIG)
            if found.pop(_VERSION_KEY, None) != _VERSION:
                raise ValueError("it was made by another version of MAGPIE")
            return from_plain(cls, found)
        except ValueError as error:
            raise InputError(
                "The folder is not a pretraining dataset",
                cause=f"{CONFIG} cannot be used: {error}",
                remedy="Prepare one with: magpie dataset prepare",
                source=str(folder),
            ) from error

    def write_or_check(self, folder: Path) -> None:
        """Write the configuration into a new dataset, or check that an existing one has the same.

        Raises:
            InputError: If the dataset has another configuration, or the folder holds something else.
            ResourceError: If it cannot be written.
        """
        if (folder / CONFIG).exists():
            before = DatasetConfig.read(folder)
            if before != self:
                raise InputError(
                    "The dataset was prepared with other settings",
                    cause=f"they were {before.summary}, and now {self.summary}",
                    remedy="Choose another folder, or use the same settings",
                    source=str(folder),
                )
            return
        if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise InputError("A new dataset needs an empty folder", remedy="Choose another folder", source=str(folder))
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({_VERSION_KEY: _VERSION, **to_plain(self)}, indent=2) + "\n"
        write_bytes(folder / CONFIG, text.encode())

    @property
    def summary(self) -> str:
        """The settings in words, for messages."""
        percent = f"{100 * self.validation_fraction:g} % of the subjects for validation"
        return f"{self.spacing_mm:g} mm, intensities '{self.intensities}', {percent}"
