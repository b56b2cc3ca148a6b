"""`magpie finetune` from a folder of labelled cases to a version of the site."""

import json


def test_a_version_with_its_scores_and_its_verdict_comes_out(magpie, cases, tmp_path, monkeypatch):
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    monkeypatch.delenv("MAGPIE_ANATOMY", raising=False)
    arguments = ["--cohort", cases, "--schema", "brats-2022", "-o", tmp_path / "run", "--steps", 2]
    arguments += ["--folds", 2, "--replay", 0, "--name", "ours-1", "--promote", "--json"]
    result = magpie("finetune", *arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert len(told["scores"]) == 3 and told["verdict"]
    assert told["in_use"] == told["accepted"]
    rows = json.loads(magpie("models", "list", "--json").stdout)["models"]
    assert "ours-1" in {row["name"] for row in rows}


def test_too_few_cases_are_refused_before_anything_is_made(magpie, cases, tmp_path):
    cohort = tmp_path / "cohort"
    magpie("cohort", "create", cohort)
    result = magpie("finetune", "--cohort", cohort, "-o", tmp_path / "run")
    assert result.exit_code == 3 and "patients" in result.output
