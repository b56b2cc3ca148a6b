"""A run of `magpie finetune` that can be trusted: what it is known by, what is refused at once, how it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.segmentation_file import read_segmentation, write_segmentation
from magpie_core.training.checkpoints import load_checkpoint
from magpie_core.training.finetuning import finetune as finetuning


@pytest.fixture
def cohort(tmp_path, make_study):
    """Three phantoms."""
    return _cohort(tmp_path / "cohort", make_study)


def _cohort(folder, make_study, patients="123"):
    cohort = Cohort.create(folder)
    for patient in patients:
        study = make_study(patient=int(patient))
        volume = study.volumes[study.reference]
        labels = np.zeros(volume.shape, np.uint8)
        labels[8:14, 16:22, 10:16] = 3
        cohort.add(study, Segmentation(labels, volume.affine, label_schema("magpie")), patient=patient)
    return cohort


@pytest.fixture
def finetune(magpie, cohort, tmp_path, monkeypatch):
    """Runs `magpie finetune` with the least training; an option given again counts instead."""
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    monkeypatch.delenv("MAGPIE_ANATOMY", raising=False)

    def run(*options):
        usual = {"--cohort": cohort.folder, "-o": tmp_path / "run", "--steps": 1, "--folds": 2, "--threads": 1}
        usual |= {"--synthetic-studies": 0}
        flags = [options[place] for place in range(0, len(options), 1) if str(options[place]).startswith("-")]
        words = [word for pair in usual.items() if pair[0] not in flags for word in pair]
        return magpie("finetune", *words, *options)

    return run


@pytest.fixture
def no_training(monkeypatch):
    """Whatever comes after the checks fails."""

    def fail(*arguments, **options):
        raise AssertionError("something was made before the checks were done")

    monkeypatch.setattr(finetuning, "Trainings", fail)


def _said(result):
    return " ".join(result.output.split())


def test_a_run_is_known_by_all_options_that_change_its_weights(finetune, cohort, tmp_path, anatomy_maps, monkeypatch):
    first = finetune("--name", "one")
    assert first.exit_code == 0, first.output
    again = finetune("--threads", 2)  # does not change the weights
    assert again.exit_code == 0 and "become the version one before" in again.output and "one is kept" in again.output
    monkeypatch.setattr(finetuning, "Trainings", None)
    for options, named in (
        (("--steps", 2), "steps (then 1, now 2)"),
        (("--steps", 0, "--minutes", 5), "minutes (then 90.0, now 5.0)"),
        (("--seed", 5), "seed (then 0, now 5)"),
        (("--interpolation", 0), "interpolation (then 0.3, now 0.0)"),
        (("--synthetic-studies", 2), "synthetic studies (then 0, now 2)"),
        (("--synthetic-studies", 2, "--anatomy", anatomy_maps), "anatomy"),
        (("--combine", "average"), "combine (then retrain, now average)"),
        (("--folds", 3), "cases"),
        (("--folds", 3, "--patience", 2), "patience (then 0, now 2)"),
        (("--folds", 3, "--preset", "paper"), "patches"),
    ):
        refused = finetune(*options)
        assert refused.exit_code == 3 and named in _said(refused), (options, refused.output)
        assert "--restart" in refused.output and "Traceback" not in refused.output
    assert [path.name for path in (tmp_path / "site" / "versions").iterdir()] == ["one"]


def test_what_is_not_trained_on_or_cannot_be_told_is_said(finetune, cohort, make_study, tmp_path, monkeypatch):
    other = _cohort(tmp_path / "copied", make_study, "4")
    (case,) = other.cases()
    shutil.copytree(case.folder, cohort.folder / case.folder.relative_to(other.folder))
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site of others"))
    apart = _cohort(tmp_path / "apart", make_study, "5")
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    done = finetune("--forgetting-test-set", apart.folder)
    assert done.exit_code == 0, done.output
    assert f"not in the log of the cohort: {case.name.replace('_', '/')}" in _said(done)
    assert "made at another site" in _said(done)


def test_a_cohort_needs_no_schema(finetune, no_training):
    refused = finetune("--schema", "magpie")
    assert refused.exit_code == 3 and "Leave out --schema" in _said(refused)


def test_too_few_readable_cases_are_refused_with_what_is_wrong_with_the_others(finetune, cases, no_training):
    (cases / "case1" / "t1.nii.gz").write_bytes(b"nonsense")
    refused = finetune("--cohort", cases, "--schema", "brats-2022")
    assert refused.exit_code == 3 and "there are 2" in _said(refused).lower() and "case1/t1.nii.gz" in refused.output


@pytest.fixture
def anatomy_maps(tmp_path):
    """A folder of one label map."""
    from magpie_core.io.template import template_head_file

    (tmp_path / "maps").mkdir()
    shutil.copy(template_head_file(), tmp_path / "maps" / "head.nii.gz")
    return tmp_path / "maps"


def test_restart_trains_anew_and_a_finished_run_is_small(finetune, tmp_path):
    assert finetune().exit_code == 0
    left = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {path.suffix for path in left if path.parent != tmp_path / "run"} == {".jsonl"}
    assert sum(path.stat().st_size for path in left) < 1e5
    done = finetune("--seed", 5, "--restart")
    assert done.exit_code == 0 and "seed have changed" in done.output, done.output
    ours = [json.loads((folder / "evidence" / "record.json").read_text())["scores"] for folder in _versions(tmp_path)]
    assert len(ours) == 2
    weights = [(folder / "model" / "weights.safetensors").read_bytes() for folder in _versions(tmp_path)]
    assert weights[0] != weights[1]


def _versions(tmp_path):
    return sorted((tmp_path / "site" / "versions").iterdir())


def test_folder_of_someone_else_is_never_removed(finetune, tmp_path, no_training):
    (tmp_path / "run" / "all").mkdir(parents=True)
    (tmp_path / "run" / "all" / "thesis.docx").touch()
    refused = finetune("--restart")
    assert (
        refused.exit_code == 3 and "run.json" in refused.output and (tmp_path / "run" / "all" / "thesis.docx").exists()
    )


@pytest.mark.parametrize("name", ["our hospital", "taken", "TAKEN", "magpie-s", "Köln", "x" * 65, "con"])
def test_names_that_no_version_can_have_are_refused_first(finetune, magpie, models_folder, tmp_path, no_training, name):
    magpie("models", "install", models_folder / "magpie-s", "--name", "taken")
    refused = finetune("--name", name)
    assert refused.exit_code == 4 and not (tmp_path / "run").exists(), refused.output
    assert "Use " in refused.output or "Choose another name" in refused.output


def test_default_name_is_free_although_versions_have_such_names(finetune, magpie, models_folder, tmp_path):
    for name in ("site-2", "other", "site-1"):
        magpie("models", "install", models_folder / "magpie-s", "--name", name)
    done = finetune()
    assert done.exit_code == 0 and "Version site-3 is kept" in done.output


def test_a_resumed_run_gets_the_name_that_it_has_now(finetune, tmp_path, monkeypatch):
    from magpie_core.models.model import load_model

    with monkeypatch.context() as stopped:
        stopped.setattr(finetuning, "run_acceptance_test", lambda *arguments, **named: 1 / 0)
        assert finetune("--name", "early").exit_code == 1
    assert load_model(tmp_path / "run" / "all" / "model").description.name == "early"
    done = finetune("--name", "late")
    assert done.exit_code == 0, done.output
    (version,) = _versions(tmp_path)
    assert version.name == "late" == load_model(version / "model").description.name


@pytest.mark.parametrize("place", ["cohort/run", "cohort", ".", "cohort/sub/deep/run", "link/run"])
def test_run_folder_among_the_cases_is_refused(finetune, cohort, tmp_path, no_training, place):
    (tmp_path / "link").symlink_to(cohort.folder)
    before = sorted(cohort.folder.rglob("*"))
    refused = finetune("-o", tmp_path / place)
    assert refused.exit_code == 3 and "lie in each other" in _said(refused) and "-o" in refused.output
    assert sorted(cohort.folder.rglob("*")) == before


def test_run_folder_among_a_folder_of_labeled_cases_is_refused_before_they_are_imported(
    finetune, cases, tmp_path, no_training
):
    refused = finetune("--cohort", cases, "--schema", "brats-2022", "-o", cases / "run")
    assert refused.exit_code == 3 and "lie in each other" in _said(refused) and not (cases / "run").exists()


def test_places_that_cannot_be_written_are_refused(finetune, tmp_path, no_training):
    (tmp_path / "file").touch()
    for place, code in ((tmp_path / "file", 3), (tmp_path / "file" / "run", 5), (tmp_path / ("x" * 300), 5)):
        refused = finetune("-o", place)
        assert refused.exit_code == code and "Traceback" not in refused.output, refused.output


@pytest.mark.parametrize("full", ["run", "site"])
def test_a_full_disk_is_noticed_at_the_start(finetune, tmp_path, no_training, monkeypatch, full):
    usage, folder = shutil.disk_usage(tmp_path), tmp_path / full
    folder.mkdir()
    monkeypatch.setattr(
        shutil, "disk_usage", lambda place: usage._replace(free=1_000_000 if place == folder else usage.free)
    )
    refused = finetune()
    assert refused.exit_code == 5 and "GB are free" in _said(refused), refused.output
    assert f"{folder}: There is not enough" in _said(refused)
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_version_without_its_model_stops_no_run_from_another_model(finetune, tmp_path):
    assert finetune("--name", "broken").exit_code == 0
    shutil.rmtree(tmp_path / "site" / "versions" / "broken" / "model")
    done = finetune("-o", tmp_path / "other")
    assert done.exit_code == 0, done.output


def test_the_default_name_is_taken_by_another_process_meanwhile(finetune, magpie, models_folder, tmp_path, monkeypatch):
    train = finetuning.finetune

    def slow(*arguments, **options):
        done = train(*arguments, **options)
        magpie("models", "install", models_folder / "magpie-s", "--name", "site-1")
        return done

    monkeypatch.setattr(finetuning, "finetune", slow)
    done = finetune()
    assert done.exit_code == 0 and "Version site-2 is kept" in done.output, done.output
    assert "name: site-2" in (tmp_path / "site" / "versions" / "site-2" / "model" / "model.yaml").read_text()


@pytest.mark.parametrize("number", [2, 3])
def test_a_run_after_all_patients_of_a_fold_were_removed(finetune, cohort, tmp_path, make_study, number):
    """The others keep their folds, unless all of them are in one."""
    for patient in "45":
        cohort.add(make_study(patient=int(patient)), read_segmentation(cohort.cases()[0].labels), patient=patient)
    assert finetune("--name", "one", "--folds", number).exit_code == 0

    def folds(name):
        return json.loads((tmp_path / "site" / "versions" / name / "evidence" / "record.json").read_text())["folds"]

    before = folds("one")
    smallest = 1 if number == 2 else 0
    for case in cohort.cases():
        if before[case.patient] == smallest:
            cohort.remove(case.name, reason="a test")
    again = finetune("--name", "two", "--model", "one", "-o", tmp_path / "two")
    assert again.exit_code == 0, again.output
    assert (folds("two") == before) == (number == 3)
    assert "could not be judged" not in _said(again)


def test_forgetting_test_set_is_read_before_anything_is_made(finetune, cohort, make_study, tmp_path, no_training):
    empty = Cohort.create(tmp_path / "empty")
    other = _cohort(tmp_path / "other", make_study, "45")
    shutil.rmtree(other.cases()[0].folder)
    for place, words in (
        (tmp_path / "nowhere", "is not a cohort"), (empty.folder, "no cases"), (cohort.folder, "cohort itself"),
        (other.folder, "missing"),
    ):  # fmt: skip
        refused = finetune("--forgetting-test-set", place)
        assert refused.exit_code == 3 and words in _said(refused) and not (tmp_path / "run").exists(), refused.output


def test_cases_and_models_that_do_not_go_together_are_refused_first(
    finetune, cohort, make_study, tmp_path, no_training
):
    assert "three folds" in finetune("--patience", 2).output
    assert finetune("--synthetic-studies", 1, "--anatomy", tmp_path / "nowhere").exit_code == 5
    study = make_study(Modality.CT, spacing_mm=1.3)
    volume = study.volumes[study.reference]
    labels = np.zeros(volume.shape, np.uint8)
    labels[8:14, 16:22, 10:16] = 3
    case = cohort.add(study, Segmentation(labels, volume.affine, label_schema("magpie")), patient="ct")
    refused = finetune()
    assert refused.exit_code == 3 and case.name in refused.output and "none of the modalities" in _said(refused)
    assert not (tmp_path / "run").exists()


def test_an_edited_segmentation_stops_the_run_and_can_be_accepted(finetune, magpie, cohort, tmp_path, monkeypatch):
    case = cohort.cases()[0]
    segmentation = read_segmentation(case.labels)
    labels = segmentation.labels.copy()
    labels[8:10] = 0
    write_segmentation(Segmentation(labels, segmentation.affine, segmentation.schema), case.labels)
    refused = finetune()
    assert refused.exit_code == 3 and case.name in refused.output and "accept-edit" in refused.output
    assert not (tmp_path / "run").exists()
    assert magpie("cohort", "accept-edit", cohort.folder, case.name).exit_code == 2
    assert magpie("cohort", "accept-edit", cohort.folder, case.name, "--reason", " ").exit_code == 3
    done = magpie("cohort", "accept-edit", cohort.folder, case.name, "--reason", "border corrected", "--user", "Ada")
    assert done.exit_code == 0 and "ET 0.1" in done.output, done.output
    entry = cohort.log.entries()[-1]
    assert (entry.event, entry.user, entry.details["reason"]) == ("accept-edit", "Ada", "border corrected")
    assert entry.details["before"] == {case.labels.name: case.digests[case.labels.name]}
    assert (
        cohort.check() == []
        and magpie("cohort", "accept-edit", cohort.folder, case.name, "--reason", "x").exit_code == 3
    )
    assert finetune().exit_code == 0


def test_only_a_readable_segmentation_on_unchanged_images_is_accepted(magpie, cohort):
    first, second, third = cohort.cases()
    image = next(iter(first.images.values()))
    image.write_bytes(image.read_bytes() + b"x")
    second.labels.write_bytes(b"damaged")
    third.labels.unlink()
    for case, words in ((first, "Restore"), (second, ""), (third, ""), (cohort.cases()[0].name + "x", "no such case")):
        name = case if isinstance(case, str) else case.name
        refused = magpie("cohort", "accept-edit", cohort.folder, name, "--reason", "x")
        assert refused.exit_code == 3 and words in _said(refused) and "Traceback" not in refused.output, refused.output
    assert len(cohort.log.entries()) == 4


def test_paths_of_any_letters_and_length(magpie, make_study, tmp_path, monkeypatch):
    base = tmp_path / "Köln Fälle 我们 (neu)" / "missing" / "parent"
    monkeypatch.setenv("MAGPIE_SITE", str(base / "Site ß"))
    cohort = _cohort(base / "Kohorte ü", make_study)
    words = ["--steps", 1, "--folds", 2, "--synthetic-studies", 0, "--threads", 1]
    done = magpie("finetune", "--cohort", cohort.folder, "-o", base / "Lauf 1 é", *words)
    assert done.exit_code == 0, done.output
    assert magpie("models", "promote", "site-1", "--reason", "größer ✓").exit_code == 0
    assert magpie("models", "export", "site-1", base / "Modell ñ").exit_code == 0
    assert magpie("models", "install", base / "Modell ñ", "--name", "copy").exit_code == 0
    with pytest.raises(Exception, match="up to 64 letters"):
        cohort.add(make_study(), None, patient="9", visit="v" * 240)


PROGRAM = """
import sys
from magpie_core.cli import app
app(sys.argv[1:])
"""


def test_ctrl_c_ends_without_a_traceback_and_says_how_to_go_on(finetune, cohort, tmp_path, models_folder):
    words = ["finetune", "--cohort", cohort.folder, "-o", tmp_path / "run", "--steps", 100_000, "--folds", 2]
    words += ["--synthetic-studies", 0, "--threads", 1]
    environment = os.environ | {"MAGPIE_MODELS": str(models_folder), "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # A job in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    part, deadline = tmp_path / "run" / "fold0", time.monotonic() + 100
    while time.monotonic() < deadline and not part.exists():
        time.sleep(0.05)
    time.sleep(1)
    for _ in range(3):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    try:
        said = " ".join(process.communicate(timeout=60)[1].split())
    finally:
        process.kill()
    assert process.returncode == 130 and "Traceback" not in said and "same command resumes it" in said, said
    assert not list((tmp_path / "run").rglob(".*.part"))


def test_cancelling_saves_too(finetune, cohort, tmp_path, monkeypatch):
    from magpie_core.app import finetune as use_case
    from magpie_core.errors import Cancelled

    seen = []

    def stop(fraction, stage):
        seen.append("round 1" in stage)
        if sum(seen) == 2:  # after the first steps
            raise Cancelled

    request = use_case.FinetuneRequest(
        cohort=cohort.folder, run=tmp_path / "run", steps=400, folds=2, synthetic_studies=0, threads=1
    )
    with pytest.raises(Cancelled):
        use_case.finetune(request, progress=stop)
    assert load_checkpoint(tmp_path / "run" / "fold0")["step"] >= 10
