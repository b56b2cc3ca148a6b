"""`magpie finetune` from a folder of labeled cases to a version of the site."""

import json

import pytest

from magpie_core.cohort.cohort import Cohort


def test_a_version_with_its_scores_and_its_verdict_comes_out(magpie, cases, tmp_path, monkeypatch):
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    monkeypatch.delenv("MAGPIE_ANATOMY", raising=False)
    arguments = ["--cohort", cases, "--schema", "brats-2022", "-o", tmp_path / "run", "--steps", 2]
    arguments += ["--folds", 2, "--synthetic-studies", 0, "--name", "ours-1", "--promote", "--json"]
    result = magpie("finetune", *arguments)
    assert result.exit_code == 0, result.output
    outcome = json.loads(result.stdout)
    assert len(outcome["scores"]) == 3 and outcome["verdict"]
    assert outcome["in_use"] == outcome["accepted"]
    rows = json.loads(magpie("models", "list", "--json").stdout)["models"]
    (row,) = [row for row in rows if row["name"] == "ours-1"]
    assert row["summary"].endswith(f"from tiny 1, 3 cases: {outcome['summary']['verdict']}")
    assert "3 patients are too few" in row["summary"] and "before" in row["summary"]
    assert row["summary"] in " ".join(magpie("models", "list").stdout.split())
    card = magpie("models", "show", "ours-1").stdout
    assert outcome["summary"]["verdict"] in card and "| ET | 0." in card and "| WT | 0." in card
    magpie("models", "export", "ours-1", tmp_path / "copy")
    magpie("models", "install", tmp_path / "copy", "--name", "theirs")
    rows = json.loads(magpie("models", "list", "--json").stdout)["models"]
    assert row["summary"] in [one["summary"] for one in rows if one["name"] == "theirs"]


def test_a_folder_of_cases_that_has_changed_is_no_longer_the_run_s(magpie, cases, tmp_path, monkeypatch):
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    arguments = ["--cohort", cases, "--schema", "brats-2022", "-o", tmp_path / "run", "--steps", 1]
    arguments += ["--folds", 2, "--synthetic-studies", 0]
    first = magpie("finetune", *arguments)
    assert first.exit_code == 0, first.output
    again = magpie("finetune", *arguments)
    assert again.exit_code == 0, again.output
    (cases / "case0" / "t1.nii.gz").unlink()
    changed = magpie("finetune", *arguments)
    assert changed.exit_code == 3 and "other settings: cases" in changed.stderr
    missing = magpie("finetune", "--cohort", tmp_path / "nowhere", *arguments[2:], "-o", tmp_path / "other")
    assert missing.exit_code == 3 and not any((tmp_path / "other").glob("*cohort*"))


def test_too_few_cases_are_refused_before_anything_is_made(magpie, cases, tmp_path):
    cohort = tmp_path / "cohort"
    magpie("cohort", "create", cohort)
    result = magpie("finetune", "--cohort", cohort, "-o", tmp_path / "run")
    assert result.exit_code == 3 and "patients" in result.output


def test_a_copy_is_not_accepted_in_the_second_round(magpie, cases, tmp_path, monkeypatch):
    """The model in use was trained on the very cases that judge: each fold is judged with weights that were not."""
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    monkeypatch.delenv("MAGPIE_ANATOMY", raising=False)
    magpie("cohort", "create", tmp_path / "cohort")
    magpie("cohort", "import", tmp_path / "cohort", cases, "--schema", "brats-2022")

    def fine_tune(name, *options):
        arguments = ["--cohort", tmp_path / "cohort", "-o", tmp_path / name, "--name", name, "--folds", 3, "--json"]
        result = magpie("finetune", *arguments, "--synthetic-studies", 0, *options)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    first = fine_tune("one", "--steps", 3, "--interpolation", 0)
    assert not first["accepted"] and "at least 6" in first["verdict"][0]
    assert magpie("models", "promote", "one", "--reason", "to see it").exit_code == 0
    for name, options in (("two", []), ("three", ["--model", "one"])):
        second = fine_tune(name, "--steps", 1, "--interpolation", 1, *options)
        assert second["summary"]["decision"] == "Unchanged" and not second["accepted"] and second["gain"] == 0
        assert second["current"] == second["scores"] == first["scores"]
        assert second["folds"] == first["folds"]


@pytest.mark.parametrize("patient", ["case2", "x"])
def test_a_forgetting_test_set_that_is_trained_on_is_refused(magpie, cases, tmp_path, monkeypatch, patient):
    """Known by content where two sites hash one patient with different salts, and by patient at one site."""
    for name in ("trained", "apart"):
        monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / f"site-{name if patient == 'x' else 1}"))
        magpie("cohort", "create", tmp_path / name)
    magpie("cohort", "import", tmp_path / "trained", cases, "--schema", "brats-2022")
    (cases / "case2" / "t2.nii.gz").unlink()
    labels = cases / "case2" / "seg.nii.gz"
    added = magpie(
        "cohort", "add", tmp_path / "apart", cases / "case2", labels, "--patient", patient, "--schema", "brats-2022"
    )
    assert added.exit_code == 0, added.output
    arguments = ["--cohort", tmp_path / "trained", "--forgetting-test-set", tmp_path / "apart", "-o", tmp_path / "run"]
    result = magpie("finetune", *arguments, "--steps", 1, "--folds", 2, "--synthetic-studies", 0)
    (case,) = Cohort(tmp_path / "apart").cases()
    assert result.exit_code == 3 and case.name in result.stderr and "is in the cohort" in result.stderr, result.output
    assert not (tmp_path / "run" / "fold0").exists()
