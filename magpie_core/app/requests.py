"""What every request on a study holds: its images, how to read them, and how to compute.

A field with a text, `Annotated[type, text]`, is an option of the command line too, and the text its help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.storage.ranges import Range, check_ranges

if TYPE_CHECKING:
    from magpie_core.imaging.study import Study

T = TypeVar("T")

MODEL = "A model folder, or the name of an installed model (default: the one in use)."
DEVICE = "auto, cpu, gpu, cuda, cuda:N or mps."


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How to read studies: the same options for whatever reads any."""

    order: Annotated[
        str | None, "Modalities of files numbered _0000, _0001, ..., such as FLAIR,T1,T1CE,T2 (that of MSD)."
    ] = None
    orientation: Annotated[
        Literal["sform", "qform"] | None, "Transform to use when sform and qform of a NIfTI file disagree."
    ] = None
    repair: Annotated[bool, "Set voxels that are not numbers to 0, with a warning."] = False
    visit: Annotated[
        str | None, "Date (YYYYMMDD), patient ID or study UID of the visit to read, of a DICOM folder with several."
    ] = None
    likely: Annotated[
        bool, "Where only you can tell which DICOM series is which, take the likelier, and mark the result."
    ] = False

    @property
    def reading(self) -> dict[str, Any]:
        """The options as `read_study` takes them."""
        return {name: getattr(self, name) for name in ("order", "orientation", "repair", "visit", "likely")}


@dataclass(frozen=True, kw_only=True)
class StudyRequest(ReadingOptions):
    """A study to read.

    Attributes:
        images: A folder, a zip file of DICOM, one file, or for each modality a file or a folder with one DICOM series.
        name: What to call the study; the folder's name by default.
        series: Number of the DICOM series to use for a modality; None to leave it out.
    """

    images: Path | Mapping[Modality, Path]
    name: str | None = None
    series: Mapping[Modality, int | None] = field(default_factory=dict)

    def read(self) -> Study:
        """Read and check the study (InputError if it cannot be read)."""
        from magpie_core.io.discovery import read_study

        return read_study(self.images, name=self.name, series=self.series, **self.reading)


@dataclass(frozen=True, kw_only=True)
class ComputeRequest(StudyRequest):
    """A study, and how to compute on it."""

    brain_extraction: Annotated[
        Literal["magpie", "hd-bet", "synthstrip"],
        "Brain-extraction method for images of the whole head; hd-bet and synthstrip must be installed.",
    ] = "magpie"
    model: Annotated[str | None, MODEL] = None
    device: Annotated[str, DEVICE] = "auto"
    precision: Annotated[Literal["auto", "fp32", "bf16"], "Arithmetic of the network."] = "auto"
    threads: Annotated[int | None, "CPU threads (default: all).", Range(1, 1024)] = None

    def __post_init__(self) -> None:
        check_ranges(self)


def build_request(request: type[T], /, **values: Any) -> T:
    """Build a request from plain values: text becomes a path, names become modalities, None is the default.

    Raises:
        InputError: If a field is unknown, missing or of the wrong type, or a modality is unknown.
    """
    from magpie_core.storage.config import from_plain

    given = {name: value for name, value in values.items() if value is not None}
    try:
        if "images" in given:
            given["images"] = _images(given["images"])
        return from_plain(request, given)
    except ValueError as error:
        raise InputError("The request cannot be used", cause=str(error)) from error


def _images(value: object) -> Path | dict[Modality, Path]:
    if isinstance(value, (str, Path)) and str(value):
        return Path(value)
    if not isinstance(value, Mapping) or not value:
        raise ValueError("images must be a path, or the path of each modality")
    unknown = [name for name in value if name not in Modality.__members__]
    if unknown:
        raise ValueError(f"there is no modality {unknown[0]!r}, known are {', '.join(Modality.__members__)}")
    return {Modality(name): Path(path) for name, path in value.items()}
