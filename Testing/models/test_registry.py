"""The default weights, the site's folder, and what a panel reads of a model in a Python without further packages."""

import subprocess
import sys
from pathlib import Path

import pytest

from magpie_core.models.card import Card, read_card, write_card
from magpie_core.models.description import ModelDescription, read_description
from magpie_core.models.registry import describe_model, find_model, installed_models, is_noncommercial, site_versions
from magpie_core.models.versions import VersionStore

SHIPPED = Path(__file__).resolve().parents[2] / "Resources" / "Models"


def test_default_weights_may_be_named_by_a_variable(models_folder, monkeypatch):
    monkeypatch.setenv("MAGPIE_MODELS", str(SHIPPED))
    assert find_model() == SHIPPED / "magpie-s"
    monkeypatch.setenv("MAGPIE_DEFAULT_MODEL", "magpie-s-synthetic")
    assert find_model() == SHIPPED / "magpie-s-synthetic"
    assert describe_model() == {"name": "magpie-s-synthetic 0.3.0", "license": "Apache-2.0"}
    monkeypatch.setenv("MAGPIE_DEFAULT_MODEL", "")
    assert describe_model()["name"] == "magpie-s 0.3.0"


def test_an_active_site_version_is_preferred_to_the_default_weights(models_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("MAGPIE_MODELS", str(models_folder))
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path))
    monkeypatch.setenv("MAGPIE_DEFAULT_MODEL", "magpie-s")
    version = site_versions().add("ours", models_folder / "magpie-s", {})
    assert find_model() == models_folder / "magpie-s"
    site_versions().promote("ours", reason="better")
    assert find_model() == version.model


@pytest.mark.parametrize("folder", sorted(SHIPPED.iterdir()), ids=lambda path: path.name)
def test_cards_of_the_shipped_models_state_what_their_descriptions_do(folder):
    card, description = read_card(folder), read_description(folder)
    assert card.title == f"{description.name} {description.version}"
    assert card.license == description.license
    accuracy = (SHIPPED.parents[1] / "docs/reference/accuracy.md").read_text(encoding="utf-8")
    means = card.figures["8 further real cases (n = 8)"]
    assert (
        f"| `{description.name}` {description.version} | {' | '.join(f'{x:.3f}' for x in means.values())} |" in accuracy
    )


def test_a_card_can_be_read_as_it_was_written(tmp_path):
    description = ModelDescription("ours", "2", "MIT", network={"modalities": ["T1"], "regions": ["ET", "WT"]})
    figures = {"5 cases (n = 5)": {"ET": 0.5, "WT": 0.75}, "2 others": {"ET": 0.125, "WT": 1.0}}
    (tmp_path / "card.md").write_text(write_card(description, "Trained on | nothing |.", figures))
    assert read_card(tmp_path) == Card("ours 2", "MIT", figures)
    (tmp_path / "card.md").write_text("# plain\n")
    assert read_card(tmp_path) == Card("plain", "", {})


def test_licenses_that_forbid_commercial_use_are_known():
    licenses = {folder.name: read_card(folder).license for folder in sorted(SHIPPED.iterdir())}
    assert {name: is_noncommercial(text) for name, text in licenses.items()} == {
        "magpie-s": True,
        "magpie-s-synthetic": False,
    }


def test_models_and_versions_are_read_without_further_packages(tmp_path):
    """As Slicer's own Python has none of them, where the worker runs in another Python."""
    code = (
        "import sys\n"
        "for name in ('yaml', 'filelock', 'platformdirs', 'torch', 'nibabel'): sys.modules[name] = None\n"
        "from magpie_core.models.registry import installed_models, site_versions\n"
        "from magpie_core.models.card import read_card\n"
        "print(site_versions().active, [read_card(folder).title for folder in installed_models()])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "None ['magpie-s 0.3.0', 'magpie-s-synthetic 0.3.0']"


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"XDG_DATA_HOME": "/data"}, "/data/magpie"),
        ("linux", {}, "~/.local/share/magpie"),
        ("darwin", {"XDG_DATA_HOME": "/data"}, "~/Library/Application Support/magpie"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/magpie/magpie"),
        ("win32", {}, "~/AppData/Local/magpie/magpie"),
    ],
)
def test_site_versions_lie_where_the_system_keeps_the_data_of_applications(monkeypatch, platform, variables, folder):
    for name in ("MAGPIE_SITE", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert site_versions().folder == Path(folder).expanduser()


def test_installed_models_are_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MAGPIE_MODELS", str(tmp_path))
    (tmp_path / "a").mkdir()
    (tmp_path / "README.md").write_text("")
    assert installed_models() == [tmp_path / "a"]


def test_installed_models_and_versions_come_before_a_folder_of_the_same_name(models_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("MAGPIE_MODELS", str(models_folder))
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    ours = VersionStore(tmp_path / "site").add("ours", models_folder / "magpie-s", {})
    shadow = VersionStore(tmp_path / "site").add("magpie-s", models_folder / "magpie-s", {})
    monkeypatch.chdir(tmp_path)
    for name in ("ours", "magpie-s", "mine"):
        (tmp_path / name).mkdir()
    assert find_model("ours") == ours.model and find_model("./ours") == Path("ours")
    assert find_model("magpie-s") == models_folder / "magpie-s" and find_model("mine") == Path("mine")
    assert site_versions().shadowed() == ["magpie-s"]
    VersionStore(tmp_path / "site").promote("magpie-s", reason="promoted by an earlier version of MAGPIE")
    assert find_model() == shadow.model
