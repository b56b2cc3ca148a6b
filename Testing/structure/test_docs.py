"""What the documentation shows exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

import magpie_core
from magpie_core import RESEARCH_USE
from magpie_core.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CHANGELOG = ROOT / "CHANGELOG.md"
COMMAND = re.compile(r"(?:^|[`$] ?|^\s{4,})magpie ((?:--?\w+ )*)([a-z][\w-]*)([^\n`]*)", re.MULTILINE)
HELP = {"--help", "-h"}
SCRIPT = re.compile(r"python (benchmarks/\S+\.py)([^\n`]*)")
OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
NAMED_FILE = re.compile(r"`((?:magpie_core|Testing|benchmarks|Resources|docs)/[\w./-]+)[^`]*`")
EXIT_CODE = re.compile(r"^\| (\d+) \|", re.MULTILINE)


def text_of(page: Path) -> str:
    """The text of a page as it holds today: of the changelog, its newest section; older ones are of their time."""
    text = page.read_text(encoding="utf-8")
    if page != CHANGELOG:
        return text
    return "\n## ".join(text.split("\n## ")[:2])


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command(*names: str):
    """A command of the command line, by its path."""
    found = get_command(app)
    for name in names:
        found = found.commands[name]
    return found


def options(found) -> set[str]:
    """All spellings of a command's options."""
    return {spelling for parameter in found.params for spelling in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_shown_commands_and_options_exist(page):
    groups = {name: item for name, item in command().commands.items() if hasattr(item, "commands")}
    for _, name, rest in COMMAND.findall(text_of(page)):
        assert name in command().commands, f"magpie {name}"
        shown = command(name)
        words = rest.split()
        if name in groups and words and not words[0].startswith("-"):
            assert words[0] in groups[name].commands, f"magpie {name} {words[0]}"
            shown = command(name, words[0])
        for option in OPTION.findall(rest.split("#")[0]):
            assert option in options(shown) | HELP, f"magpie {name} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_shown_scripts_and_their_options_exist(page):
    for script, rest in SCRIPT.findall(text_of(page)):
        assert (ROOT / script).is_file(), script
        source = (ROOT / script).read_text(encoding="utf-8")
        for option in OPTION.findall(rest):
            assert f'"{option}"' in source, f"{script} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


def test_extras_that_pages_install_exist():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = re.findall(r"^(\w+) = \[", project[project.index("[project.optional-dependencies]") :], re.MULTILINE)
    named = {
        extra
        for page in PAGES
        for listed in re.findall(r"pip install '(?:magpie-core|\.)\[([\w,]+)\]'", text_of(page))
        for extra in listed.split(",")
    }
    assert named and named <= set(extras)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_tests_named_in_a_page_exist(page):
    text = text_of(page)
    missing = [name for name in NAMED_FILE.findall(text) if "..." not in name and not (ROOT / name).exists()]
    assert not missing
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "Testing").rglob("test_*.py"))
    assert not [name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in sources]


def test_every_command_and_option_is_in_the_reference():
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for name, item in command().commands.items():
        assert f"magpie {name}" in text, name
        for sub, subitem in getattr(item, "commands", {}).items():
            assert f"magpie {name} {sub}" in text, f"{name} {sub}"
            missing = [option for option in options(subitem) - HELP if option.startswith("--") and option not in text]
            assert not missing, f"{name} {sub}: {missing}"
        missing = [option for option in options(item) - HELP if option.startswith("--") and option not in text]
        assert not missing, f"{name}: {missing}"


def test_every_option_in_the_reference_exists():
    text = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    groups = [item for item in command().commands.values() if hasattr(item, "commands")]
    commands = [*command().commands.values(), *(sub for item in groups for sub in item.commands.values())]
    known = set().union(*(options(item) for item in commands)) | options(command()) | HELP
    shown = {
        option for line in text.splitlines() if line.startswith("| `-") for option in OPTION.findall(line.split("|")[1])
    }
    assert shown and not shown - known, shown - known


def test_every_page_can_be_reached_from_the_start():
    reached, new = set(), {ROOT / "README.md", ROOT / "docs" / "README.md"}
    while new:
        page = new.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)#:]+\.md)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        new |= {(page.parent / link).resolve() for link in links} - reached
    assert not {page for page in PAGES if "docs" in page.parts} - reached


def test_a_lab_note_names_its_version_and_is_in_the_index():
    folder = ROOT / "docs" / "lab-notes"
    index = (folder / "README.md").read_text(encoding="utf-8")
    notes = [page for page in folder.glob("*.md") if page.name != "README.md"]
    assert notes
    for page in notes:
        second = page.read_text(encoding="utf-8").splitlines()[1]
        assert re.match(r"\*Version \d+\.\d+\.\d+", second), f"{page.name}: {second}"
        assert f"({page.name})" in index, page.name


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


def test_readme_shows_the_example_of_the_package():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = [line for line in (magpie_core.__doc__ or "").splitlines() if line.startswith("    ")]
    assert example and all(line.strip() in readme for line in example)


def test_make_knows_the_commands():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test", "check"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
