"""How the studies of a corpus are prepared; part of the corpus, since one corpus has one recipe."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from magpie_core.errors import InputError
from magpie_core.storage.atomic import write_bytes

_FILE = "corpus.json"
_VERSION = 1
INTENSITIES = ("zscore", "paper")


@dataclass(frozen=True)
class DatasetConfig:
    """How studies become samples.

    Attributes
    ----------
    spacing_mm
        Voxel size of the samples.
    intensities
        "zscore": mean 0 and standard deviation 1 in the brain, as everywhere in MAGPIE. "paper": bias field corrected
        (N4) and scaled to 0 ... 1 in the brain, kept as 0 ... 6 to use the sample's range; divide by `PAPER_SCALE`.
    validation_share
        Share of subjects (not of studies) kept for validation; a subject's side follows from its name alone.

    Raises
    ------
    InputError
        If a value is impossible.
    """

    spacing_mm: float = 2.0
    intensities: str = "zscore"
    validation_share: float = 0.05

    def __post_init__(self) -> None:
        if self.intensities not in INTENSITIES:
            raise InputError(
                f"'{self.intensities}' is not a scale of intensities",
                remedy=f"Use one of {', '.join(INTENSITIES)}",
            )
        if not 0.5 <= self.spacing_mm <= 8:
            raise InputError(
                f"A voxel size of {self.spacing_mm:g} mm is of no use here",
                remedy="Use 0.5 to 8 mm, such as 2",
            )
        if not 0 <= self.validation_share < 1:
            raise InputError(
                "The share of subjects for validation must be at least 0 and less than 1",
                cause=f"it is {self.validation_share:g}",
            )

    @classmethod
    def read(cls, folder: Path) -> DatasetConfig:
        """The recipe of an existing corpus.

        Raises
        ------
        InputError
            If the folder is not a corpus.
        """
        try:
            found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
            if found.pop("magpie_corpus") != _VERSION:
                raise ValueError("it was made by another version of MAGPIE")
            return cls(**found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                "The folder is not a corpus",
                cause=f"{_FILE} is missing or cannot be used",
                remedy="Prepare one with: magpie corpus prepare",
                source=str(folder),
            ) from error

    def settle(self, folder: Path) -> None:
        """Write it into a new corpus, or check that an existing one has the same.

        Raises
        ------
        InputError
            If the corpus was begun with another recipe, or the folder holds something else.
        ResourceError
            If it cannot be written.
        """
        if (folder / _FILE).exists():
            before = DatasetConfig.read(folder)
            if before != self:
                raise InputError(
                    "The corpus was begun with other settings",
                    cause=f"they were {before.in_words}, and now {self.in_words}",
                    remedy="Choose another folder, or the settings of before",
                    source=str(folder),
                )
            return
        if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise InputError(
                "A new corpus needs an empty folder", remedy="Choose another folder", source=str(folder)
            )
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"magpie_corpus": _VERSION, **asdict(self)}, indent=2) + "\n"
        write_bytes(folder / _FILE, text.encode())

    @property
    def in_words(self) -> str:
        """For messages."""
        share = f"{100 * self.validation_share:g} % of the subjects for validation"
        return f"{self.spacing_mm:g} mm, intensities '{self.intensities}', {share}"


PAPER_SCALE = 6.0
"""What 1 of the MAGPIE paper's intensities is in a sample of the recipe "paper"."""
