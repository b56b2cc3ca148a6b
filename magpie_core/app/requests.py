"""What every request on a study says: its images, how to read them, and how to compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from magpie_core.imaging.modality import Modality

if TYPE_CHECKING:
    from magpie_core.imaging.study import Study

OWN_BRAIN_EXTRACTION = "magpie"


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """A study to read.

    Attributes:
        images: A folder, a zip file of DICOM, one file, or for each modality a file or a folder with one DICOM series.
        name: What to call the study; the folder's name by default.
        order: Modalities of files numbered _0000, _0001, ..., such as "FLAIR,T1,T1CE,T2".
        orientation: Transform to use where a file's sform and qform disagree.
        repair: Whether voxels that are no numbers become 0, with a warning.
        series: Number of the DICOM series to use for a modality.
    """

    images: Path | Mapping[Modality, Path]
    name: str | None = None
    order: str | None = None
    orientation: Literal["sform", "qform"] | None = None
    repair: bool = False
    series: Mapping[Modality, int] = field(default_factory=dict)

    def read(self) -> Study:
        """Read and check the study.

        Raises:
            InputError: As `read_study`.
        """
        from magpie_core.io.discovery import read_study

        return read_study(
            self.images,
            name=self.name,
            order=self.order,
            orientation=self.orientation,
            repair=self.repair,
            series=self.series,
        )


@dataclass(frozen=True, kw_only=True)
class ComputeRequest(StudyRequest):
    """A study, and how to compute on it.

    Attributes:
        model: A model folder or the name of an installed model; the one in use by default.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "auto", "fp32" or "bf16".
        threads: CPU threads; torch's choice by default.
        brain_extraction: "magpie", "hd-bet" or "synthstrip", for images of the whole head.
    """

    model: str | None = None
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    brain_extraction: str = OWN_BRAIN_EXTRACTION
