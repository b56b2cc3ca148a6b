"""Use case: say what a study's folder holds, and what would be used of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from magpie_core.app.requests import StudyRequest
from magpie_core.errors import InputError
from magpie_core.progress import Progress, no_progress

if TYPE_CHECKING:
    from magpie_core.imaging.found_image import FoundImage


@dataclass(frozen=True, kw_only=True)
class InspectRequest(StudyRequest):
    """A study to look into."""


@dataclass(frozen=True)
class InspectResult:
    """What became of every series and file; the warnings of the study; and why it is refused, if it is."""

    found: tuple[FoundImage, ...]
    warnings: tuple[str, ...]
    refusal: InputError | None = None


def inspect(request: InspectRequest, *, progress: Progress = no_progress) -> InspectResult:
    """Read a study as segmenting it would, and change nothing.

    Raises:
        ResourceError: If a package is lacking.
    """
    from magpie_core.io.dicom_study import is_dicom_source, list_dicom_visit

    progress(0.0, "Reading the images")
    try:
        study = request.read()
    except InputError as error:
        source = request.images
        listable = not isinstance(source, Mapping) and Path(source).exists() and is_dicom_source(Path(source))
        return InspectResult(list_dicom_visit(Path(source)) if listable else (), (), error)  # type: ignore[arg-type]
    progress(1.0, "Done")
    return InspectResult(study.found, study.warnings)
