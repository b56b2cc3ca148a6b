"""`magpie demo`: a synthetic study is made, segmented and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from magpie_core.commands.options import Anatomy, AsJson, DeviceName, Overwrite, Threads
from magpie_core.commands.output import emit_json, say, tell
from magpie_core.commands.progress import ProgressBar, part_of
from magpie_core.commands.segment import Options, Request, load, run_study, tell_result

SPACING_MM = 1.5  # fine enough to look at, and made in seconds


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the study and the result.")] = Path(
        "magpie-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Which synthetic study.")] = 2,
    anatomy: Anatomy = None,
    device: DeviceName = "auto",
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make a synthetic study from what is installed, segment it, and say where the picture is."""
    from magpie_core.evaluation.region_metrics import evaluate_case
    from magpie_core.io.segmentation_file import read_segmentation
    from magpie_core.report.write import refuse_existing
    from magpie_core.synthesis.anatomy import Anatomy as LabelMaps
    from magpie_core.synthesis.generator import GliomaGenerator
    from magpie_core.synthesis.write_study import grid_shape, write_synthetic

    result = out / "result"
    if not overwrite:
        refuse_existing(result)
    model = load(None)
    say("Making a synthetic study: no patient, and nothing is downloaded.")
    with ProgressBar("demo") as bar:
        bar(0.0, "Making a synthetic study")
        generator = GliomaGenerator(
            LabelMaps.find(anatomy), spacing_mm=SPACING_MM, shape=grid_shape(SPACING_MM)
        )
        (sample,) = generator.sample(seed, kind="glioblastoma")
        folder = write_synthetic(sample, out / "study")
        request = Request("synthetic-study", folder, result)
        options = Options(device, threads=threads, overwrite=overwrite)
        prediction, paths = run_study(request, model, options, part_of(bar, 0.3, 1.0))
        bar(1.0, "Done")
    scores = evaluate_case(prediction.segmentation, read_segmentation(folder / "seg.nii.gz"))
    if as_json:
        emit_json({"study": str(folder), **{key: str(path) for key, path in paths.items()}, "scores": scores})
        return
    tell_result(request.name, prediction, paths)
    tell("\nOverlap (Dice, 1 is perfect) with the tumor that was put in:")
    for region, words in (("WT", "whole tumor"), ("TC", "tumor core"), ("ET", "enhancing tumor")):
        tell(f"  {words:18}{scores[region]['dice']:.2f}")
    tell(f"\nLook at the picture: {paths['overview']}")
