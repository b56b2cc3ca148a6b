"""`magpie finetune` from a folder of labeled cases to a version of the site."""

import json


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
    assert "ours-1" in {row["name"] for row in rows}


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
