"""Use case: fine-tune the model in use on a cohort, and keep the candidate as a new version."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from magpie_core.app.sample import ANATOMY
from magpie_core.progress import Progress, no_progress
from magpie_core.storage.ranges import FOLDS, FRACTION, MINUTES, SEED, STEPS, Range, check_ranges

if TYPE_CHECKING:
    from magpie_core.cohort.case import Case
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.models.versions import Version, VersionStore
    from magpie_core.training.finetuning.options import FinetuneOptions


_OTHER_SITE = (
    "The forgetting test set was made at another site: that a patient is in both cohorts is noticed only where an "
    "image is in both."
)
_DISPOSABLE = ("fold*", "all", "evidence", "prepared", "synthetic")  # of a run that has become a version


@dataclass(frozen=True, kw_only=True)
class FinetuneRequest:
    """A cohort to fine-tune on.

    Attributes:
        user: Who asked, for the records.
    """

    cohort: Annotated[Path, "Cohort, or a folder of labeled cases with a label schema."]
    run: Annotated[Path, "Run folder; an interrupted run is resumed."]
    name: Annotated[str, "Name of the new version (default: site-N)."] = ""
    schema: Annotated[str, "Label schema of the cases, if the folder is not a cohort."] = ""
    model: Annotated[str, "Model to start from (default: the one in use)."] = ""
    minutes: Annotated[float, "Minutes of the whole fine-tuning, all steps together.", MINUTES] = 90.0
    steps: Annotated[int | None, "Steps of each training instead; 0 for none.", STEPS] = None
    folds: Annotated[int, "Number of folds; no more than there are patients.", FOLDS] = 5
    seed: Annotated[int, "Random seed.", SEED] = 0
    threads: Annotated[int | None, "CPU threads; 0 for torch's choice.", Range(0, 1024)] = None
    anatomy: Annotated[Path | None, ANATOMY] = None
    synthetic_studies: Annotated[
        int,
        "Number of synthetic studies mixed in against forgetting; fewer if they took a fifth of the minutes to make.",
        Range(0, 10_000),
    ] = 150
    interpolation: Annotated[float, "Weight of the starting model in the candidate's weights, 0 to 1.", FRACTION] = 0.3
    combine: Annotated[
        Literal["retrain", "average", "ensemble"],
        "Train once more on all cases, average the folds' weights, or keep them together.",
    ] = "retrain"
    patience: Annotated[int, "Epochs without gain after which a training stops; 0 for never.", STEPS] = 0
    preset: Annotated[
        Literal["magpie", "paper", "mome"],
        "How to train: as here by default, or as the MAGPIE or the MoME paper does; minutes, steps, synthetic "
        "studies, interpolation, combine and patience do not count then.",
    ] = "magpie"
    device: Annotated[str, "auto (CUDA with enough memory, else the CPU), cpu, gpu, cuda, cuda:N or mps."] = "auto"
    precision: Annotated[
        Literal["auto", "bf16", "fp16", "fp32"],
        "Precision: auto (bf16 where the device is fast at it; with the paper's preset fp16 on a GPU), bf16, "
        "fp16 (CUDA only) or fp32.",
    ] = "auto"
    forgetting_test_set: Annotated[Path | None, "Another cohort, never trained on, to measure what is forgotten."] = (
        None
    )
    promote: Annotated[bool, "Use the version at once if it is accepted."] = False
    restart: Annotated[bool, "Remove the run in the folder if it was started with other cases or options."] = False
    user: str = ""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class FinetuneOutcome:
    """A new version and the decision of the acceptance test.

    Attributes:
        accepted, sentences: Whether the acceptance test was passed, and why or why not.
        gain: Mean change of Dice; None where a score is no number.
        in_use: Whether it was promoted.
        record: What is kept with the version: `start`, `scores`, `current`, `cases`, `accepted`, `verdict` (findings).
        warnings: Cases that were left out, and why.
    """

    version: str
    model: Path
    accepted: bool
    sentences: tuple[str, ...]
    gain: float | None
    in_use: bool
    record: Mapping[str, Any]
    warnings: tuple[str, ...] = field(default=())


def finetune(request: FinetuneRequest, *, progress: Progress = no_progress) -> FinetuneOutcome:
    """Fine-tune out of fold to judge, then on all cases; an interrupted run is resumed.

    Raises:
        InputError: If there are too few cases or patients, a file is faulty, or the run folder holds a run of other
            cases.
        ModelError: If training becomes unstable, or the starting model does not verify.
    """
    import torch

    from magpie_core.cohort.cohort import Cohort
    from magpie_core.cohort.identity import local_names
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import find_model, installed_models, site_versions
    from magpie_core.training.finetuning.ancestry import lineage_of
    from magpie_core.training.finetuning.finetune import finetune as finetune_model
    from magpie_core.training.finetuning.options import check_start
    from magpie_core.training.finetuning.preflight import check_apart, check_places, is_finished, version_of

    torch.set_flush_denormal(True)
    if request.threads:
        torch.set_num_threads(request.threads)
    warnings: list[str] = []
    progress(0.0, "Reading the cases")
    site = site_versions()
    read = {"cases": request.cohort, "forgetting test set": request.forgetting_test_set, "label maps": request.anatomy}
    check_places(request.run, site, read)
    start = load_model(find_model(request.model or None))
    check_start(request.preset, start.network.config)
    lineage = lineage_of(start, site, installed_models())
    own = site.with_model(start.hash)
    earlier = own.record() if own else {}
    options, name = _options(request, warnings), request.name or site.free_name()
    apart = None if request.forgetting_test_set is None else Cohort(request.forgetting_test_set)
    version = version_of(request.run, site)
    if version is None:
        site.check_name(name)
    cohort = _imported(request, warnings) if request.schema else Cohort(request.cohort)
    cases = cohort.verified_cases()
    warnings += cohort.unlisted()
    forgetting_test_set = check_apart(cohort, apart)
    warnings += [_OTHER_SITE] if apart is not None and not apart.has_salt_of(cohort) else []
    numbered = _folds(cohort, request.folds, earlier.get("folds", {}))
    folds = [fold for fold in numbered if fold]
    if version and is_finished(version, request.run, start, folds, options, request.anatomy, restart=request.restart):
        return _finish(request, version, site, [*warnings, f"This run has become the version {version.name} before."])
    site.check_name(name)
    train = partial(
        finetune_model,
        folds,
        lineage,
        request.run,
        options=options,
        anatomy=request.anatomy,
        known_scores=earlier.get("scored", {}),
        names=local_names(),
        forgetting_test_set=forgetting_test_set,
        restart=request.restart,
        progress=progress,
    )
    done = train(name=name)
    if not request.name and name != (free := site.free_name()):  # another process has taken the name meanwhile
        name, done = free, train(name=free)  # nothing but the name is made anew
    decision = done.decision
    record = {
        "start": start.hash,
        "summary": done.summary,
        "scores": done.candidate,
        "current": done.current,
        "scored": done.scored,
        "folds": earlier.get("folds", {})
        | {case.patient: place for place, fold in enumerate(numbered) for case in fold},
        "cases": {case.name: dict(case.digests) for case in cases},
        "accepted": decision.accepted,
        "verdict": list(done.findings),
        "gain": None if decision.dice_change is None else decision.dice_change.mean,
    }
    version = site.add(name, done.model, record, evidence=done.evidence, folds=done.folds, user=request.user)
    return _finish(request, version, site, warnings)


def _folds(cohort: Cohort, number: int, kept: Mapping[str, int]) -> list[list[Case]]:
    """Return the folds by their numbers, some of them empty; new ones if all cases that are left were in one."""
    patients = len({case.patient for case in cohort.cases()})
    folds = cohort.folds(max(2, min(number, patients)), kept=kept)
    return folds if sum(map(bool, folds)) > 1 else cohort.folds(max(2, min(number, patients)))


def _finish(request: FinetuneRequest, version: Version, site: VersionStore, warnings: list[str]) -> FinetuneOutcome:
    """Promote the version if asked for and accepted, and clear the run; also where a killed process left off."""
    from magpie_core.storage.manifest import MANIFEST_NAME, file_hash
    from magpie_core.training.run_folder import finish_run

    record = version.record()
    if request.promote and record["accepted"] and site.active_name != version.name:
        site.promote(version.name, user=request.user, reason=record["verdict"][0])
    finish_run(request.run, _DISPOSABLE, version.name, file_hash(version.model / MANIFEST_NAME))
    return FinetuneOutcome(
        version.name, version.model, record["accepted"], tuple(record["verdict"]), record.get("gain"),
        site.active_name == version.name, record, tuple(warnings),
    )  # fmt: skip


def _options(request: FinetuneRequest, warnings: list[str]) -> FinetuneOptions:
    from magpie_core.networks.device import choose_training_device
    from magpie_core.training.finetuning.options import PRESETS, FinetuneOptions

    device, notes = choose_training_device(request.device)
    warnings += notes
    if request.preset in PRESETS:
        return PRESETS[request.preset](seed=request.seed, device=device, precision=request.precision)
    default = FinetuneOptions(device=device)
    return replace(
        default,
        loop=replace(default.loop, precision=request.precision),
        minutes=request.minutes,
        steps=request.steps or None,
        seed=request.seed,
        synthetic_studies=request.synthetic_studies,
        interpolation=request.interpolation,
        combine=request.combine,
        patience_epochs=request.patience,
    )


def _imported(request: FinetuneRequest, warnings: list[str]) -> Cohort:
    """A folder of labeled cases as a cohort in the run folder; imported anew if the folder has changed."""
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.cohort.contents import cohort_at
    from magpie_core.cohort.importing import import_folder
    from magpie_core.errors import InputError
    from magpie_core.io.folders import list_files
    from magpie_core.storage.atomic import refuse_file, remove_folder, write_bytes
    from magpie_core.training.finetuning.preflight import LEAST_CASES

    refuse_file(request.run)
    if cohort_at(request.cohort) is not None:
        problem = "The label schema of a cohort's cases is known"
        raise InputError(problem, remedy="Leave out --schema", source=str(request.cohort))
    files = {
        str(path.relative_to(request.cohort)): [path.stat().st_size, path.stat().st_mtime_ns]
        for path in list_files(request.cohort)
        if path.is_file()
    }
    source = json.dumps({"schema": request.schema, "files": files}, indent=1).encode()
    target, scratch, record = (request.run / name for name in ("cohort", ".cohort.part", "cohort.json"))
    if target.is_dir() and record.is_file() and record.read_bytes() == source:
        return Cohort(target)
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        made = Cohort.create(scratch, user=request.user)
        for result in import_folder(made, request.cohort, schema=request.schema, user=request.user):
            warnings += [f"Left out: {result.problem}"] if result.problem else result.warnings
        if warnings and len(made.cases()) < LEAST_CASES:
            raise InputError(
                f"At least {LEAST_CASES} corrected cases are needed",
                cause=f"there are {len(made.cases())}. {' '.join(warnings)}",
                remedy="Put these right, or import the cases into a cohort, where more can be said about them (magpie "
                "cohort import)",
                source=str(request.cohort),
            )
        if target.exists():
            remove_folder(target)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    write_bytes(record, source)
    return Cohort(target)
