"""`magpie` starts light, and says what it is."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import MISSING, fields
from typing import get_type_hints

import pytest
from typer.main import get_command

from magpie_core import RESEARCH_USE, __version__
from magpie_core.app.finetune import FinetuneRequest
from magpie_core.cli import app

HEAVY = ("torch", "monai", "scipy", "matplotlib", "nibabel", "numpy")


def loaded_by(*arguments: str) -> set[str]:
    """Heavy packages that a run of `magpie ARGUMENTS` imports."""
    code = (
        "import sys\nfrom magpie_core.cli import app\n"
        f"try: app({list(arguments)!r})\nexcept SystemExit: pass\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["segment", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    assert loaded_by(*arguments) == set()


def test_a_usage_error_does_not_wait_for_torch():
    assert "torch" not in loaded_by("segment", "study", "--t1", "t1.nii.gz")


def test_the_version_has_the_statement_of_use(magpie):
    done = magpie("--version")
    assert done.exit_code == 0 and __version__ in done.stdout and RESEARCH_USE in done.stdout


def test_help_names_the_commands_and_the_exit_codes(magpie):
    done = magpie("-h")
    text = " ".join(done.stdout.split())
    assert RESEARCH_USE in text and "130 cancelled" in text
    for name in ("segment", "demo", "evaluate", "synthesize", "doctor", "train"):
        assert name in text


@pytest.mark.parametrize("size", ["nan", "0", "-1", "inf"])
@pytest.mark.parametrize(
    "words",
    [("synthesize", "-o", "out"), ("dataset", "prepare", ".", "-o", "out"), ("plan", "pretraining", "--scans", "9")],
    ids=" ".join,
)
def test_a_voxel_size_that_cannot_be_is_refused(magpie, tmp_path, monkeypatch, words, size):
    monkeypatch.chdir(tmp_path)
    done = magpie(*words, "--spacing-mm", size)
    assert done.exit_code in (2, 3), done.output
    assert not (tmp_path / "out").exists()


def test_options_have_type_default_and_help_of_the_fields_of_the_request():
    parameters = {item.name: item for item in get_command(app).commands["finetune"].params}
    hints = get_type_hints(FinetuneRequest, include_extras=True)
    shown = {item.name: item for item in fields(FinetuneRequest) if hasattr(hints[item.name], "__metadata__")}
    assert set(shown) == set(parameters) - {"as_json"} and "user" not in parameters
    for name, item in shown.items():
        assert parameters[name].help == hints[name].__metadata__[0]
        assert parameters[name].required if item.default is MISSING else parameters[name].default == item.default
