"""`magpie finetune`: fine-tune the model on a site's own cases."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from magpie_core.app.finetune import FinetuneRequest
from magpie_core.app.finetune import finetune as finetune_model
from magpie_core.commands.options import Anatomy, AsJson, user_name
from magpie_core.commands.output import print_json, print_line, print_message
from magpie_core.commands.progress import ProgressBar


class Combine(str, Enum):
    """What the candidate is made of."""

    RETRAIN = "retrain"
    AVERAGE = "average"
    ENSEMBLE = "ensemble"


def finetune(
    cohort: Annotated[Path, typer.Option(help="Cohort, or a folder of labeled cases with --schema.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder; an interrupted run is resumed.")],
    name: Annotated[str, typer.Option(help="Name of the new version.")] = "",
    schema: Annotated[str, typer.Option(help="Label schema, if --cohort is not a cohort.")] = "",
    model: Annotated[str, typer.Option(help="Model to start from; the one in use by default.")] = "",
    minutes: Annotated[float, typer.Option(help="Minutes of training altogether.")] = 90.0,
    steps: Annotated[int, typer.Option(help="Steps of each training instead; 0 for none.")] = 0,
    folds: Annotated[int, typer.Option(help="Number of folds; no more than there are patients.")] = 5,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 for torch's choice.")] = 0,
    anatomy: Anatomy = None,
    synthetic_studies: Annotated[
        int, typer.Option(help="Number of synthetic studies mixed in against forgetting.")
    ] = 150,
    interpolation: Annotated[
        float, typer.Option(help="Weight of the starting model in the candidate's weights, 0 to 1.")
    ] = 0.3,
    combine: Annotated[
        Combine, typer.Option(help="Train once more on all cases, average the folds' weights, or keep them together.")
    ] = Combine.RETRAIN,
    patience: Annotated[int, typer.Option(help="Epochs without gain after which a training stops; 0 for never.")] = 0,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper",
            help="Train as the MAGPIE paper does; --minutes, --steps, --synthetic-studies, --interpolation, --combine "
            "and --patience do not count then. Needs cases of three patients.",
        ),
    ] = False,
    forgetting_test_set: Annotated[
        Path | None, typer.Option(help="Another cohort, never trained on, to measure what is forgotten.")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Use it at once if it is accepted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the model on corrected cases, and say whether it got better."""
    request = FinetuneRequest(
        cohort=cohort,
        run=out,
        name=name,
        schema=schema,
        model=model,
        minutes=minutes,
        steps=steps or None,
        folds=folds,
        seed=seed,
        threads=threads or None,
        anatomy=anatomy,
        synthetic_studies=synthetic_studies,
        interpolation=interpolation,
        combine=combine.value,
        patience=patience,
        paper=paper,
        forgetting_test_set=forgetting_test_set,
        promote=promote,
        user=user_name(),
    )
    with ProgressBar("Fine-tuning", quiet=as_json) as bar:
        result = finetune_model(request, progress=bar)
    for warning in result.warnings:
        print_message(warning)
    if as_json:
        outcome = {"version": result.version, "model": str(result.model), "gain": result.gain}
        print_json({**outcome, "in_use": result.in_use, **result.record})
        return
    print_line("\n".join(result.sentences))
    print_line(f"Version {result.version} is kept in {result.model}" + (" and in use" if result.in_use else ""))
    if not result.in_use and result.accepted:
        print_line(f"To use it: magpie models promote {result.version} --reason ...")
