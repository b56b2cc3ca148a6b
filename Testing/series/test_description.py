"""What a description says: real ones with the right answer, and spellings of many places."""

from __future__ import annotations

import csv
from pathlib import Path

from magpie_core.series.description import read_description


def said(text: str) -> str:
    """The modality that a description states: "other" for another kind of image, "open" if it states none."""
    found = read_description(text)
    if found.kind:
        return "other"
    return found.modality.value if found.modality is not None else "open"


def rows(name: str) -> list[tuple[str, str]]:
    """The descriptions of a file, and the right answers."""
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as file:
        return [(row["description"], row["right"]) for row in csv.DictReader(file, delimiter="\t")]


def test_spellings_of_many_places_and_languages():
    assert [(text, expected, said(text)) for text, expected in rows("spellings.tsv") if said(text) != expected] == []


def right(found: str, expected: str, text: str) -> bool:
    """Whether an answer is right, or rightly open."""
    if expected == "other":
        return found in ("other", "open", "PD")
    if expected == "PD/T2 pair":
        return found in ("open", "PD") or read_description(text).dual_echo
    if expected.startswith("T1CE, name"):
        return found in ("T1", "open") and read_description(text).contrast is None
    if expected == "T1 or T1CE":
        return found in ("T1", "T1CE", "open")
    return found in (expected, "open")


REAL = rows("descriptions.tsv")


def test_real_descriptions_are_many_and_none_is_there_twice():
    assert len(REAL) >= 720 and len({text.strip().lower() for text, _ in REAL}) == len(REAL)


def test_of_real_descriptions_none_is_wrong():
    assert [(text, expected, said(text)) for text, expected in REAL if not right(said(text), expected, text)] == []


def test_of_real_descriptions_few_are_open():
    modalities = [text for text, expected in REAL if expected != "other"]
    others = [text for text, expected in REAL if expected == "other"]
    assert sum(said(text) == "open" for text in modalities) <= 0.04 * len(modalities)
    assert sum(said(text) != "other" for text in others) <= 0.08 * len(others)
