"""`magpie models`: install, promote, roll back, export, publish."""

import json
import shutil
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


def test_models_installs_promotes_and_rolls_back_a_version(magpie, models_folder, site, tmp_path):
    assert _active(magpie) == ["magpie-s"]
    assert magpie("models", "export", "magpie-s", tmp_path / "copy").exit_code == 0
    assert magpie("models", "install", tmp_path / "copy", "--name", "ours-1").exit_code == 0
    assert _active(magpie) == ["magpie-s"]
    assert magpie("models", "promote", "ours-1", "--reason", "better on 20 cases").exit_code == 0
    assert _active(magpie) == ["ours-1"] and "* ours-1" in magpie("models", "list").stdout
    assert magpie("models", "rollback").exit_code == 0
    assert _active(magpie) == ["magpie-s"]
    assert "# tiny" in magpie("models", "show", "ours-1").stdout


def test_segment_uses_the_active_version(magpie, write_study, site, tiny_model, tmp_path):
    model = load_model(tiny_model)
    description = replace(model.description, name="trained-here")
    save_model(tmp_path / "trained", description, model.network.state_dict(), card="# trained")
    magpie("models", "install", tmp_path / "trained", "--name", "ours-1")
    magpie("models", "promote", "ours-1", "--reason", "better")
    result = magpie("segment", write_study(), "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "trained-here" in next((tmp_path / "out").rglob("report.json")).read_text()


def test_models_fails_with_the_exit_code_of_model_errors(magpie, site, tiny_model, tmp_path):
    assert magpie("models", "rollback").exit_code == 4
    unknown = magpie("models", "promote", "nothing", "--reason", "x")
    assert unknown.exit_code == 4 and "nothing" in unknown.output
    assert magpie("models", "export", "magpie-s", tmp_path).exit_code == 4
    (tmp_path / "broken").mkdir()
    assert magpie("models", "install", tmp_path / "broken", "--name", "x").exit_code == 4


def test_publish_writes_version_rules_and_card(magpie, tiny_model, tmp_path):
    (tmp_path / "dice.json").write_text(
        '{"all": [{"scores": {"ET": {"dice": 0.5}}}, {"scores": {"ET": {"dice": 0.7}}}]}'
    )
    options = ["--version", "2", "--summary", "Trained on nothing.", "--figures", f"Test={tmp_path / 'dice.json'}"]
    rules = ["--minimum-et-ml", "0.2", "--minimum-uptake-sd", "2.5", "--interval-thresholds", "WT=0.8,0.05"]
    done = magpie("models", "publish", tiny_model, tmp_path / "ours", *options, *rules)
    assert done.exit_code == 0, done.output
    model = load_model(tmp_path / "ours")
    assert model.name == "ours 2"
    assert model.description.postprocessing.minimum_volume_ml == (0.2, 0.0, 0.0)
    assert model.description.postprocessing.minimum_uptake_sd == 2.5
    assert model.description.postprocessing.interval_thresholds == {"WT": (0.8, 0.05)}
    card = (tmp_path / "ours" / "card.md").read_text()
    assert "Trained on nothing." in card and "| Test (n = 2) | 0.600 |" in card
    wrong = magpie("models", "publish", tiny_model, tmp_path / "x", *options, "--interval-thresholds", "WT=1")
    assert wrong.exit_code == 2 and "WT=0.8,0.05" in wrong.output


def test_names_of_installed_models_lead_back_to_them(magpie, models_folder, site, tmp_path):
    refused = magpie("models", "install", models_folder / "magpie-s", "--name", "magpie-s")
    assert refused.exit_code == 4 and "installed model has this name" in refused.output
    magpie("models", "install", models_folder / "magpie-s", "--name", "ours")
    magpie("models", "promote", "ours", "--reason", "better")
    back = magpie("models", "promote", "magpie-s", "--reason", "ours misses small tumors")
    assert back.exit_code == 0 and "magpie-s" in back.output and _active(magpie) == ["magpie-s"]
    assert magpie("models", "rollback").exit_code == 0 and _active(magpie) == ["ours"]
    assert magpie("models", "use-default").exit_code == 0 and _active(magpie) == ["magpie-s"]


def test_a_version_in_use_that_is_gone_is_told_with_a_way_back_that_works(
    magpie, models_folder, site, write_study, tmp_path
):
    for name in ("ours", "magpie-9"):
        magpie("models", "install", models_folder / "magpie-s", "--name", name)
        magpie("models", "promote", name, "--reason", "better")
    shutil.rmtree(tmp_path / "site" / "versions" / "magpie-9")
    study = write_study()
    for words in (("segment", study, "-o", tmp_path / "out"), ("doctor",)):
        failed = magpie(*words)
        assert failed.exit_code == 4 and "magpie models rollback" in failed.output and "is missing" in failed.output
    listed = magpie("models", "list")
    assert listed.exit_code == 0 and "rollback" in listed.output and "ours" in listed.stdout
    assert _active(magpie) == []
    assert magpie("models", "rollback").exit_code == 0 and _active(magpie) == ["ours"]
    assert magpie("segment", study, "-o", tmp_path / "out", "--threads", 1).exit_code == 0


def test_a_damaged_version_in_use_is_told_with_a_way_back(magpie, models_folder, site, write_study, tmp_path):
    magpie("models", "install", models_folder / "magpie-s", "--name", "ours")
    magpie("models", "promote", "ours", "--reason", "better")
    weights = tmp_path / "site" / "versions" / "ours" / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    failed = magpie("segment", write_study(), "-o", tmp_path / "out")
    assert failed.exit_code == 4 and "damaged" in failed.output and "magpie models rollback" in failed.output
    assert magpie("models", "rollback").exit_code == 0 and _active(magpie) == ["magpie-s"]


def test_promoting_a_version_that_failed_its_test_says_so(magpie, models_folder, site, tmp_path):
    from magpie_core.models.registry import site_versions

    record = {"accepted": False, "verdict": ["Rejected: enhancing tumor is worse."]}
    site_versions().add("ours", models_folder / "magpie-s", record)
    assert magpie("models", "promote", "ours").exit_code == 2
    done = magpie("models", "promote", "ours", "--reason", "for a demonstration")
    assert done.exit_code == 0 and "enhancing tumor is worse" in done.output


def test_a_version_of_an_earlier_site_with_a_taken_name_is_listed_with_its_way_out(
    magpie, models_folder, site, tmp_path
):
    from magpie_core.models.versions import VersionStore

    old = VersionStore(tmp_path / "site").add("magpie-s", models_folder / "magpie-s", {})
    listed = magpie("models", "list")
    assert listed.exit_code == 0 and f"install '{old.model}' --name NAME" in listed.output
    assert magpie("models", "install", old.model, "--name", "ours").exit_code == 0
