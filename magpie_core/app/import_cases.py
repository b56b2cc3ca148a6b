"""Use case: add all labeled cases of a folder to a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from magpie_core.app.requests import ReadingOptions
from magpie_core.cohort.label_options import LabelOptions
from magpie_core.progress import Progress, no_progress

if TYPE_CHECKING:
    from magpie_core.cohort.importing import Imported


@dataclass(frozen=True, kw_only=True)
class ImportCasesRequest(ReadingOptions, LabelOptions):
    """A folder of labeled cases of another program, and a cohort."""

    cohort: Path
    source: Path
    patients: Annotated[
        Path | None, "CSV file of lines 'case,patient', where the names of the cases do not state the patient."
    ] = None
    annotator: str = ""


def import_cases(request: ImportCasesRequest, *, progress: Progress = no_progress) -> list[Imported]:
    """Add every labeled case with the checks of a single one; see `import_folder`."""
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.cohort.importing import import_folder

    return import_folder(
        Cohort(request.cohort),
        request.source,
        options=request,
        patients=request.patients,
        user=request.annotator,
        progress=progress,
        **request.reading,
    )
