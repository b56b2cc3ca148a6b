"""The words that users and developers meet are those of the field, in US spelling."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Private words that have no other meaning here; the field's words stand in their place.
PRIVATE = re.compile(
    r"\b(teach\w*|taught|untaught|look-?alikes?|epitaphs?|shel(f|ves)|companions?|corpus(?! callosum)|corpora"
    r"|mirrored looks?|asked most|gone on with|goes on from|strangers?|homeless|reckon\w*|warm models?|sentinels?"
    r"|rooms?|houses?|graphics cards?|processors?|detail heads?|keep starts?|likeness|thumbnails?|allowances?"
    r"|(?<!ground )(?<!ground-)truths?)\b",
    re.IGNORECASE,
)
BRITISH = re.compile(
    r"(tumour|colour|\bcentred?\b|grey|artefact|labelled|licence|neighbour|haemorrhag|behaviour|favour"
    r"|optimis(e|ation)|normalis|recognis|initialis|minimis|maximis|organis(e|ation)|visualis|summaris|generalis"
    r"|millilitre|millimetre|\banalyse|oedema|modell(ed|ing))",
    re.IGNORECASE,
)
# What other people's files, names and papers say; and what files of earlier versions hold.
FOREIGN = re.compile(
    r"localiser|Color ?Table ?Node ?Grey|[\"']licence[\"']|renormalise|thumbnail ?File ?Name"
    r"|Imaging Centre|[\"']sentinels[\"']|MAGPIE\.asked ?Most",
    re.IGNORECASE,
)
# Words by which this file alone recognizes what other people's files are.
FILE_NAMES = ROOT / "magpie_core" / "series" / "file_name.py"
FILE_NAME_WORDS = ("truth map prob",)
TEXTS = ("*.md", "*.ui", "*.py", "*.txt", "*.json", "*.yaml", "*.csv", "*.toml", "*.cff", "Makefile")
# Histories and diaries, published models, measured figures, other people's pages; and this list of words.
APART = ("CHANGELOG.md", "docs/lab-notes/", "Resources/Models/", "Resources/BrainMask/", "benchmarks/figures/")
OWN_WORDS = {"Testing/structure/test_vocabulary.py", "magpie_core/models/format_1.py"}


def texts() -> list[Path]:
    """Every text under version control in the words of today, but for the data that tests read."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *TEXTS],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("needs a repository", allow_module_level=True)
    return [
        ROOT / name
        for name in listed.stdout.splitlines()
        if (ROOT / name).is_file() and not name.startswith(APART) and "/data/" not in name and name not in OWN_WORDS
    ]


def words_of(text: str) -> str:
    """The text with identifiers taken apart: `SyntheticShelf` and `synthetic_shelf` as "Synthetic Shelf"."""
    return re.sub(r"(?<=[a-z\d])(?=[A-Z])|_", " ", text)


def private_words(text: str) -> Iterator[tuple[int, str]]:
    """Line and word of everything in a text that is not said in the field's words."""
    for number, line in enumerate(text.splitlines(), 1):
        line = FOREIGN.sub("", words_of(line))
        for pattern in (PRIVATE, BRITISH):
            yield from ((number, match[0]) for match in pattern.finditer(line))


@pytest.mark.parametrize("path", texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_texts_use_the_words_of_the_field(path):
    text = path.read_text(encoding="utf-8")
    for words in FILE_NAME_WORDS if path == FILE_NAMES else ():
        assert words in text, "the exception is not needed any more"
        text = text.replace(words, "")
    found = [f"{line}: {word}" for line, word in private_words(text)]
    assert not found, found[:10]


def test_file_names_use_the_words_of_the_field():
    names = [path.relative_to(ROOT).as_posix() for path in texts()]
    assert not [name for name in names if list(private_words(re.sub(r"[-./]", " ", name)))]


@pytest.mark.parametrize(
    "text",
    [
        "Teach the model",
        "class SyntheticShelf:",
        "keep_start = 0.3",
        "the tumour's colour",
        "a graphics card",
        "truth = read()",
        "--corpus",
        "centre",
    ],
)
def test_private_words_are_found(text):
    assert list(private_words(text))


@pytest.mark.parametrize(
    "text", ["train the model", "ground-truth", "percentage, center, gray", "mushroom", "license", "corpus callosum"]
)
def test_words_of_the_field_are_not_complained_of(text):
    assert not list(private_words(text))
