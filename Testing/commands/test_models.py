"""`magpie models`: install, promote, roll back, export."""

import json
from dataclasses import replace

import pytest

from magpie_core.models.model import load_model, save_model


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site without versions."""
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))


def _active(magpie):
    rows = json.loads(magpie("models", "list", "--json").stdout)["models"]
    return [row["name"] for row in rows if row["active"]]


def test_a_version_is_installed_used_and_given_up_again(magpie, models_folder, site, tmp_path):
    assert _active(magpie) == ["magpie-s"]
    assert magpie("models", "export", "magpie-s", tmp_path / "copy").exit_code == 0
    assert magpie("models", "install", tmp_path / "copy", "--name", "ours-1").exit_code == 0
    assert _active(magpie) == ["magpie-s"]
    assert magpie("models", "promote", "ours-1", "--reason", "better on 20 cases").exit_code == 0
    assert _active(magpie) == ["ours-1"] and "* ours-1" in magpie("models", "list").stdout
    assert magpie("models", "rollback").exit_code == 0
    assert _active(magpie) == ["magpie-s"]
    assert "# tiny" in magpie("models", "show", "ours-1").stdout


def test_the_version_in_use_segments(magpie, write_study, site, tiny_model, tmp_path):
    model = load_model(tiny_model)
    description = replace(model.description, name="taught-here")
    save_model(tmp_path / "taught", description, model.network.state_dict(), card="# taught")
    magpie("models", "install", tmp_path / "taught", "--name", "ours-1")
    magpie("models", "promote", "ours-1", "--reason", "better")
    result = magpie("segment", write_study(), "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "taught-here" in next((tmp_path / "out").rglob("report.json")).read_text()


def test_what_cannot_be_done_is_said(magpie, site, tiny_model, tmp_path):
    assert magpie("models", "rollback").exit_code == 4
    unknown = magpie("models", "promote", "nothing", "--reason", "x")
    assert unknown.exit_code == 4 and "nothing" in unknown.output
    assert magpie("models", "export", "magpie-s", tmp_path).exit_code == 4
    (tmp_path / "broken").mkdir()
    assert magpie("models", "install", tmp_path / "broken", "--name", "x").exit_code == 4
