"""The wheel holds the resources of the package."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_wheel_holds_every_resources_folder_of_the_code() -> None:
    asked = {
        name
        for path in (ROOT / "magpie_core").rglob("*.py")
        for name in re.findall(r'resources_folder\("(\w+)"\)', path.read_text(encoding="utf-8"))
    }
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wheel = project[project.index("[tool.hatch.build.targets.wheel]") :]
    assert asked >= {"Models", "BrainMask"}
    for name in asked:
        assert any((ROOT / "Resources" / name).iterdir())
        assert f'"/Resources/{name}"' in wheel
        assert f'"Resources/{name}" = "magpie_core/resources/{name}"' in wheel
