"""`magpie demo`: a synthetic study is made, segmented and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from magpie_core.app.sample import SampleRequest, sample
from magpie_core.app.segment import SegmentRequest, draw_overview, segment
from magpie_core.commands.options import AsJson, DeviceName, Overwrite, Threads, options_of
from magpie_core.commands.output import print_json, print_line, print_message, print_model
from magpie_core.commands.progress import ProgressBar
from magpie_core.commands.segment import print_files, print_result
from magpie_core.progress import part_of


@options_of(SampleRequest)
def demo(
    output: Annotated[Path, typer.Option("--out", "-o", help="Folder for the study and the result.")] = Path(
        "magpie-demo"
    ),
    device: DeviceName = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    **options: Any,
) -> None:
    """Make a synthetic study from what is installed, segment it, and say where the picture is."""
    from magpie_core.evaluation.region_metrics import evaluate_case
    from magpie_core.io.segmentation_file import read_segmentation
    from magpie_core.report.write import RESULT_FILES
    from magpie_core.storage.atomic import refuse_existing

    result_folder = output / "result"
    if not overwrite:
        refuse_existing(result_folder, RESULT_FILES)
    model = print_model(None, as_json=as_json)
    print_message("Making a synthetic study: no patient, and nothing is downloaded.")
    with ProgressBar("demo") as bar:
        made = sample(SampleRequest(output=output / "study", **options), progress=part_of(bar, 0.0, 0.3))
        request = SegmentRequest(
            images=made.images,
            name="synthetic-study",
            output=result_folder,
            device=device,
            threads=threads,
            overwrite=overwrite,
        )
        result = draw_overview(segment(request, progress=part_of(bar, 0.3, 1.0)))
        bar(1.0, "Done")
    scores = evaluate_case(result.segmentation, read_segmentation(made.reference_segmentation))
    files = {key: str(path) for key, path in result.files.items()}
    if as_json:
        print_json({"model": model, "study": str(made.reference_segmentation.parent), **files, "scores": scores})
        return
    print_result("synthetic-study", result)
    print_files(result)
    print_line("\nDice (1 is perfect) with the tumor that was put in:")
    for region, words in (("WT", "whole tumor"), ("TC", "tumor core"), ("ET", "enhancing tumor")):
        print_line(f"  {words:18}{scores[region]['dice']:.2f}")
    print_line(f"\nLook at the picture: {result.files['overview']}")
