"""Fine-tuning with real trainings: accept, promote, fine-tune again, reject shuffled labels, roll back."""

import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from magpie_core.cohort.cohort import Cohort
from magpie_core.errors import Cancelled, ModelError, ResourceError
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.models.model import load_model, save_model
from magpie_core.models.versions import VersionStore
from magpie_core.progress import no_progress
from magpie_core.training.checkpoints import load_checkpoint
from magpie_core.training.finetuning.acceptance import Verdict
from magpie_core.training.finetuning.ancestry import Lineage, lineage_of
from magpie_core.training.finetuning.finetune import finetune
from magpie_core.training.finetuning.options import FinetuneOptions
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.patch_sampling import CasePatches

OPTIONS = FinetuneOptions(
    steps=100,
    synthetic_studies=0,
    interpolation=0.0,
    loop=LoopOptions(learning_rate=2e-2, warmup_steps=5, ema_decay=0.9, precision="fp32", log_every=20),
    patches=CasePatches(patch_size=(16, 16, 16), brain_size=(32, 32, 32), whole_brain_fraction=0.5, backbone_until=0.0),
)


def _cohort(folder, make_study, count, *, first=0, shuffled=False):
    """Phantoms whose bright lesion is enhancing tumor; with `shuffled`, the labels are those of other locations."""
    cohort = Cohort.create(folder)
    rng = np.random.default_rng(first)
    for number in range(first, first + count):
        study = make_study(patient=number)
        volume = study.volumes[study.reference]
        i, j, k = (np.linspace(-1, 1, size) for size in volume.shape)
        grid = np.stack(np.meshgrid(i, j, k, indexing="ij"))
        center = rng.uniform(-0.4, 0.4, 3) if shuffled else np.array([-0.35, 0.2, 0.1])
        lesion = np.sqrt(((grid - center[:, None, None, None]) ** 2).sum(axis=0)) < 0.25
        labels = np.where(lesion, 3, 0).astype(np.uint8)
        cohort.add(study, Segmentation(labels, volume.affine, label_schema("magpie")), patient=str(number))
    return cohort


def test_gate_accepts_better_models_rejects_shuffled_labels_and_rollback_is_exact(make_study, tiny_model, tmp_path):
    good = _cohort(tmp_path / "good", make_study, 6)
    apart = _cohort(tmp_path / "apart", make_study, 2, first=20).cases()
    store = VersionStore(tmp_path / "site")

    def fine_tune(cohort, used, name, steps, **options):
        lineage = lineage_of(used, store, [tiny_model])
        return finetune(
            cohort.folds(2), lineage, tmp_path / name, name=name, options=replace(OPTIONS, steps=steps), **options
        )

    first = fine_tune(good, load_model(tiny_model), "one", 100)
    assert first.decision.accepted and first.decision.dice_change.low > 0, first.decision.findings
    one = store.add("one", first.model, {"scored": first.scored}, evidence=first.evidence, folds=first.folds)
    store.promote("one", reason="better")

    second = fine_tune(good, load_model(one.model), "two", 300, known_scores=one.record()["scored"])
    assert second.current == first.candidate
    assert second.decision.dice_change.mean > 0.02, second.decision.findings
    study = read_study(apart[0].folder)
    before = segment_study(study, load_model(store.active.model)).probabilities
    two = store.add("two", second.model, {"scored": second.scored}, evidence=second.evidence, folds=second.folds)
    store.promote("two", reason="better still")
    assert not np.array_equal(segment_study(study, load_model(store.active.model)).probabilities, before)

    wrong = _cohort(tmp_path / "wrong", make_study, 4, first=40, shuffled=True)
    third = fine_tune(wrong, load_model(two.model), "three", 300, forgetting_test_set=apart)
    assert third.decision.verdict is Verdict.WORSE
    assert "the forgetting test set is worse" in third.decision.findings[0]

    assert store.rollback().name == "one"
    again = segment_study(study, load_model(store.active.model)).probabilities
    assert np.array_equal(again, before)


def test_non_finite_weights_are_never_saved_as_a_model(tiny_model, tmp_path):
    model = load_model(tiny_model)
    weights = {name: value.clone() for name, value in model.network.state_dict().items()}
    next(iter(weights.values())).view(-1)[0] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        save_model(tmp_path / "broken", model.description, weights, card="# broken\n")
    assert not list(tmp_path.iterdir())


_FINETUNE = """
    import sys, torch
    from dataclasses import replace
    from pathlib import Path
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.models.model import load_model
    from magpie_core.training.finetuning.options import FinetuneOptions
    from magpie_core.training.finetuning.ancestry import Lineage
    from magpie_core.training.finetuning.finetune import finetune
    from magpie_core.training.loop_options import LoopOptions
    from magpie_core.training.patch_sampling import CasePatches
    torch.set_num_threads(1)
    options = FinetuneOptions(
        steps=40, synthetic_studies=0,
        loop=LoopOptions(learning_rate=2e-2, precision="fp32", log_every=1, checkpoint_minutes=0.0),
        patches=CasePatches(patch_size=(16, 16, 16), brain_size=(32, 32, 32), backbone_until=0.0),
    )
    done = finetune(Cohort(Path(sys.argv[1])).folds(2), Lineage(load_model(Path(sys.argv[2]))), Path(sys.argv[3]),
                    name="ours", options=options)
    print(done.decision.accepted)
"""


def _finetune(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_FINETUNE), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_run_killed_ten_times_and_resumed_is_bit_identical(make_study, tiny_model, tmp_path):
    cohort = _cohort(tmp_path / "cohort", make_study, 4)
    whole = _finetune(cohort.folder, tiny_model, tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    rng = random.Random(0)
    run = tmp_path / "run"
    for _ in range(10):
        process = _finetune(cohort.folder, tiny_model, run)
        marks = sum(1 for _ in run.rglob("*")) if run.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if run.exists() and sum(1 for _ in run.rglob("*")) > marks:
                break
            time.sleep(0.05)
        time.sleep(rng.uniform(0.0, 0.6))
        process.kill()
        process.communicate()
        for folder in run.glob("*/"):
            load_checkpoint(folder)  # never damaged
            if (folder / "model").exists():
                load_model(folder / "model")
    last = _finetune(cohort.folder, tiny_model, run)
    assert last.wait() == 0, last.stderr.read()
    ours, expected = (load_model(place / "all" / "model").network.state_dict() for place in (run, tmp_path / "whole"))
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


@contextmanager
def full_disk():
    """Limit files to 2,000 bytes, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_full_disk_leaves_nothing_of_an_added_case(make_study, tmp_path):
    cohort = _cohort(tmp_path / "cohort", make_study, 1)
    before = sorted(path for path in cohort.folder.rglob("*"))
    study = make_study(patient=9)
    volume = study.volumes[study.reference]
    labels = np.zeros(volume.shape, np.uint8)
    labels[10:14, 10:14, 10:14] = 3
    with pytest.raises(ResourceError), full_disk():
        cohort.add(study, Segmentation(labels, volume.affine, label_schema("magpie")), patient="new")
    assert sorted(path for path in cohort.folder.rglob("*")) == before


def test_full_disk_stops_training_and_keeps_the_last_checkpoint(make_study, tiny_model, tmp_path):
    cohort = _cohort(tmp_path / "cohort", make_study, 3)
    options = replace(OPTIONS, steps=6, loop=replace(OPTIONS.loop, log_every=1, checkpoint_minutes=0.0))

    def fine_tune(progress):
        lineage = Lineage(load_model(tiny_model))
        finetune(cohort.folds(2), lineage, tmp_path / "run", name="ours", options=options, progress=progress)

    stages = []

    def stop(fraction, stage):
        stages.append(stage)
        if sum("round 1" in one for one in stages) == 4:
            raise Cancelled("Stopped")

    with pytest.raises(Cancelled):
        fine_tune(stop)
    checkpoint = tmp_path / "run" / "fold0" / "checkpoint.pt"
    kept = checkpoint.read_bytes()
    with pytest.raises(ResourceError, match=r"disk|space"), full_disk():
        fine_tune(no_progress)
    assert checkpoint.read_bytes() == kept
