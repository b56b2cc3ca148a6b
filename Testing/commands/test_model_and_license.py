"""Every command that uses weights says which, and under which license."""

import json
import shutil

import pytest


@pytest.fixture
def models(tmp_path, tiny_model, monkeypatch):
    """Models of either license; the default may be used for research only."""
    folder = tmp_path / "models"
    for name, license_id in (("magpie-s", "CC-BY-NC-SA-4.0"), ("free", "Apache-2.0")):
        shutil.copytree(tiny_model, folder / name)
        described = folder / name / "model.yaml"
        described.write_text(described.read_text().replace("Apache-2.0", license_id).replace("tiny", name))
        from magpie_core.storage.manifest import write_manifest

        write_manifest(folder / name)
    return folder


@pytest.fixture
def magpie(magpie, models, monkeypatch):
    """The command line with these models."""
    monkeypatch.setenv("MAGPIE_MODELS", str(models))
    return magpie


@pytest.mark.parametrize("command", ["segment", "batch", "rank", "explain"])
def test_model_and_license_are_said_or_in_the_document(magpie, write_study, tmp_path, command):
    study = write_study("one")
    given = study.parent if command == "batch" else study
    out = [] if command == "rank" else ["-o", tmp_path / "out"]
    done = magpie(command, given, *out)
    assert done.exit_code == 0, done.output
    said = [line for line in done.stderr.splitlines() if line.startswith("Model ")]
    assert said == ["Model magpie-s 1, license of its weights CC-BY-NC-SA-4.0: research only, no commercial use"]
    assert "CC-BY" not in done.stdout

    out = [] if command == "rank" else ["-o", tmp_path / "other"]
    done = magpie(command, given, *out, "--model", "free", "--json")
    assert "Model " not in done.stderr
    document = json.loads(done.stdout)
    if command == "explain":
        assert (document["model"], document["license"]) == ("free 1", "Apache-2.0")
    else:
        assert document["model"] == {"name": "free 1", "license": "Apache-2.0"}


def test_finetune_says_the_model_it_starts_from(magpie, cases, tmp_path, monkeypatch):
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    arguments = ["--cohort", cases, "--schema", "brats-2022", "--steps", 1, "--folds", 2, "--synthetic-studies", 0]
    done = magpie("finetune", *arguments, "-o", tmp_path / "run", "--model", "free", "--name", "ours")
    assert done.exit_code == 0, done.output
    assert "Model free 1, license of its weights Apache-2.0\n" in done.stderr
    assert "- License of the weights: Apache-2.0." in (tmp_path / "site/versions/ours/model/card.md").read_text()
    done = magpie("finetune", *arguments, "-o", tmp_path / "other", "--json")
    assert json.loads(done.stdout)["start_model"] == {"name": "magpie-s 1", "license": "CC-BY-NC-SA-4.0"}


def test_a_report_names_the_model_and_the_license(magpie, write_study, tmp_path):
    study = write_study("one")
    for name, license_id in (("magpie-s", "CC-BY-NC-SA-4.0"), ("free", "Apache-2.0")):
        assert magpie("segment", study, "-o", tmp_path / name, "--model", name).exit_code == 0
        model = json.loads((tmp_path / name / "report.json").read_text())["model"]
        assert (model["name"], model["license"]) == (f"{name} 1", license_id)
