"""`magpie finetune`: teach the model a site's own cases."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from magpie_core.commands.options import Anatomy, AsJson, user
from magpie_core.commands.output import emit_json, say, tell
from magpie_core.commands.progress import ProgressBar

if TYPE_CHECKING:
    from magpie_core.cohort.cohort import Cohort


class Combine(str, Enum):
    """What the candidate is made of."""

    RETRAIN = "retrain"
    AVERAGE = "average"
    ENSEMBLE = "ensemble"


def finetune(
    cohort: Annotated[Path, typer.Option(help="A cohort, or a folder of labeled cases with --schema.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder; an interrupted run in it goes on.")],
    name: Annotated[str, typer.Option(help="What to call the new version.")] = "",
    schema: Annotated[str, typer.Option(help="Label schema, if this is not a cohort.")] = "",
    model: Annotated[str, typer.Option(help="Model to start from; the one in use by default.")] = "",
    minutes: Annotated[float, typer.Option(help="Time for training altogether.")] = 90.0,
    steps: Annotated[int, typer.Option(help="Steps of each training instead; 0 for none.")] = 0,
    folds: Annotated[
        int, typer.Option(help="Parts to divide the cases into; no more than there are patients.")
    ] = 5,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    threads: Annotated[int, typer.Option(help="Processor threads; 0 for torch's choice.")] = 0,
    anatomy: Anatomy = None,
    replay: Annotated[int, typer.Option(help="Synthetic studies mixed in against forgetting.")] = 150,
    interpolate_weights: Annotated[
        float, typer.Option(help="Share of the starting model to keep, 0 to 1.")
    ] = 0.3,
    combine: Annotated[
        Combine,
        typer.Option(help="Train once more on all cases, average the parts' weights, or keep them together."),
    ] = Combine.RETRAIN,
    patience: Annotated[
        int, typer.Option(help="Stop a training after so many passes without gain; 0 for never.")
    ] = 0,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper",
            help="Train as the MAGPIE paper does; --minutes, --steps, --replay, --keep-start, --combine and --patience "
            "do not count then. Needs cases of three patients.",
        ),
    ] = False,
    sentinel: Annotated[
        Path | None, typer.Option(help="Another cohort that never teaches, to notice what is forgotten.")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Use it at once if it is better.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the model on corrected cases, and say whether it got better."""
    import torch

    from magpie_core.cohort.cohort import Cohort
    from magpie_core.models.registry import site_versions
    from magpie_core.training.finetuning.options import FinetuneOptions, paper_options
    from magpie_core.training.finetuning.site import finetune_site

    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)
    cases = _cases(cohort, schema, out) if schema else Cohort(cohort)
    if paper:
        options = paper_options(seed=seed)
    else:
        options = FinetuneOptions(
            minutes=minutes,
            steps=steps or None,
            seed=seed,
            replay_studies=replay,
            interpolate_weights=interpolate_weights,
            combine=combine.value,
            patience_epochs=patience,
        )
    with ProgressBar("Fine-tuning", quiet=as_json) as bar:
        taught = finetune_site(
            cases,
            out,
            name=name,
            model=model,
            folds=folds,
            options=options,
            anatomy=anatomy,
            sentinels=tuple(Cohort(sentinel).cases()) if sentinel else (),
            who=user(),
            progress=bar,
        )
    verdict, version = taught.finetuned.verdict, taught.version
    used = promote and verdict.accepted
    if used:
        site_versions().promote(version.name, who=user(), reason=verdict.sentences[0])
    if as_json:
        gain = None if verdict.gain is None else verdict.gain.mean
        told = {"version": version.name, "model": str(version.model), "gain": gain, "in_use": used}
        emit_json(told | taught.record)
        return
    tell("\n".join(verdict.sentences))
    tell(f"Version {version.name} is kept in {version.model}" + (" and in use" if used else ""))
    if not used and verdict.accepted:
        tell(f"To use it: magpie models promote {version.name} --reason ...")


def _cases(folder: Path, schema: str, out: Path) -> Cohort:
    """A folder of labeled cases as a cohort in the run folder; imported anew if the folder has changed."""
    import shutil

    from magpie_core.cohort.cohort import Cohort
    from magpie_core.cohort.exchange import import_folder
    from magpie_core.storage.atomic import refuse_file, write_bytes

    refuse_file(out)
    files = {
        str(path.relative_to(folder)): [path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    source = json.dumps({"schema": schema, "files": files}, indent=1).encode()
    target, scratch, record = out / "cohort", out / ".cohort.part", out / "cohort.json"
    if target.is_dir() and record.is_file() and record.read_bytes() == source:
        return Cohort(target)
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        for result in import_folder(Cohort.create(scratch, who=user()), folder, schema=schema, who=user()):
            if result.problem:
                say(f"Left out: {result.problem}")
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    write_bytes(record, source)
    return Cohort(target)
