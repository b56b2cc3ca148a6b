"""`magpie batch`: many studies, one after another, to be stopped and resumed at will."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from magpie_core.app.batch import BatchRequest, batch as segment_all
from magpie_core.app.requests import ComputeRequest
from magpie_core.app.segment import SegmentRequest
from magpie_core.commands.error_report import FRONT_END, show_failure
from magpie_core.commands.options import AsJson, option_of, options_of
from magpie_core.commands.output import print_json, print_line, print_model
from magpie_core.commands.progress import ProgressBar


@options_of(ComputeRequest)
def batch(
    worklist: Annotated[Path, option_of(BatchRequest, "worklist")],
    output: Annotated[Path, option_of(BatchRequest, "output")],
    retry: Annotated[bool, option_of(BatchRequest, "retry")] = False,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Segment every study of WORKLIST; a study that fails does not stop the others.

    OUT/manifest.jsonl has a line for each study that is done, OUT/volumes.csv the volumes of all. The same command
    again resumes where it was stopped, and does nothing twice.
    """
    template = SegmentRequest(images={}, **options)
    request = BatchRequest(worklist=worklist, output=output, retry=retry, options=template, front_end=FRONT_END)
    model = print_model(template.model, as_json=as_json)
    with ProgressBar("Studies") as bar:
        result = segment_all(request, progress=bar, failed=lambda name, failure, error: show_failure(failure, error))
    if as_json:
        print_json({"model": model, "studies": list(result.entries), "failed": len(result.failed)})
        return
    print_line(f"{len(result.entries) - len(result.failed)} of {len(result.entries)} studies segmented.")
    for entry in result.failed:
        print_line(f"  {entry['study']}: {entry['error']['what']}")
    print_line(f"  volumes       {result.summary}")
