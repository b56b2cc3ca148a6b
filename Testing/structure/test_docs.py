"""What the documentation shows exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from magpie_core import RESEARCH_USE
from magpie_core.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMAND = re.compile(r"(?:^|[`$] ?|^\s{4,})magpie ((?:--?\w+ )*)([a-z][\w-]*)([^\n`]*)", re.MULTILINE)
HELP = {"--help", "-h"}
EXIT_CODE = re.compile(r"^\| (\d+) \|", re.MULTILINE)


def command(*names: str):
    """A command of the command line, by its path."""
    found = get_command(app)
    for name in names:
        found = found.commands[name]
    return found


def options(found) -> set[str]:
    """All spellings of a command's options."""
    return {spelling for parameter in found.params for spelling in parameter.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_shown_commands_and_options_exist(page):
    groups = {name: item for name, item in command().commands.items() if hasattr(item, "commands")}
    for _, name, rest in COMMAND.findall(page.read_text(encoding="utf-8")):
        assert name in command().commands, f"magpie {name}"
        shown = command(name)
        words = rest.split()
        if name in groups and words and not words[0].startswith("-"):
            assert words[0] in groups[name].commands, f"magpie {name} {words[0]}"
            shown = command(name, words[0])
        for option in re.findall(r"(?<![\w-])--?[a-z][\w-]*", rest.split("#")[0]):
            assert option in options(shown) | HELP, f"magpie {name} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_command_and_option_is_in_the_reference():
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for name, item in command().commands.items():
        assert f"magpie {name}" in text, name
        for sub, subitem in getattr(item, "commands", {}).items():
            assert f"magpie {name} {sub}" in text, f"{name} {sub}"
            missing = [
                option for option in options(subitem) - HELP if option.startswith("--") and option not in text
            ]
            assert not missing, f"{name} {sub}: {missing}"
        missing = [
            option for option in options(item) - HELP if option.startswith("--") and option not in text
        ]
        assert not missing, f"{name}: {missing}"


def test_the_exit_codes_are_those_of_the_errors():
    from magpie_core import errors

    codes = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.MagpieError)
    }
    text = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    assert {int(code) for code in EXIT_CODE.findall(text)} == codes | {0, 2}


def test_the_two_commands_and_the_statement_of_use_come_first():
    top = (ROOT / "README.md").read_text(encoding="utf-8")[:900]
    assert top.index("make demo") < top.index("make test")
    assert RESEARCH_USE in top


def test_make_knows_the_commands():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test", "check"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
