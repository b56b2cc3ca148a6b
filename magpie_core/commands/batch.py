"""`magpie batch`: many studies, one after another, to be stopped and resumed at will."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magpie_core.app.batch import BatchRequest
from magpie_core.app.batch import batch as segment_all
from magpie_core.app.segment import SegmentRequest
from magpie_core.commands.error_report import FRONT_END, show_failure
from magpie_core.commands.options import (
    AsJson,
    BrainExtraction,
    BrainExtractionMethod,
    DeviceName,
    ModelName,
    Order,
    OrientationName,
    Precision,
    PrecisionName,
    Repair,
    Threads,
)
from magpie_core.commands.output import print_json, print_line
from magpie_core.commands.progress import ProgressBar


def batch(
    worklist: Annotated[
        Path,
        typer.Argument(
            help="A folder with a folder (or zip file of DICOM) for each study, or a CSV file with a column 'study', "
            "or with columns t1, t1ce, t2, flair; a column 'name' is optional."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results, one subfolder each.")],
    retry: Annotated[bool, typer.Option("--retry", help="Try those that failed before once more.")] = False,
    order: Order = None,
    orientation: OrientationName = None,
    repair: Repair = False,
    brain_extraction: BrainExtractionMethod = BrainExtraction.MAGPIE,
    model: ModelName = None,
    device: DeviceName = "auto",
    precision: PrecisionName = Precision.AUTO,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Segment every study of WORKLIST; a study that fails does not stop the others.

    OUT/manifest.jsonl has a line for each study that is done, OUT/volumes.csv the volumes of all. The same command
    again resumes where it was stopped, and does nothing twice.
    """
    options = SegmentRequest(
        images={},
        order=order,
        orientation=orientation.value if orientation else None,
        repair=repair,
        model=model,
        device=device,
        precision=precision.value,
        threads=threads,
        brain_extraction=brain_extraction.value,
    )
    request = BatchRequest(worklist=worklist, output=out, retry=retry, options=options, front_end=FRONT_END)
    with ProgressBar("Studies") as bar:
        result = segment_all(request, progress=bar, failed=lambda name, failure, error: show_failure(failure, error))
    if as_json:
        print_json({"studies": list(result.entries), "failed": len(result.failed)})
        return
    print_line(f"{len(result.entries) - len(result.failed)} of {len(result.entries)} studies segmented.")
    for entry in result.failed:
        print_line(f"  {entry['study']}: {entry['error']['what']}")
    print_line(f"  volumes       {result.summary}")
