"""What the package looks for beside its code travels in its wheel."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_folder_of_resources_that_the_code_asks_for_is_in_the_wheel() -> None:
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
