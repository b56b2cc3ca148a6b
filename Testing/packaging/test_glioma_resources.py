"""Color tables and terminology match the tissues of magpie_core."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from magpie_core.imaging.glioma import LABELS, Tissue

RESOURCES = Path(__file__).resolve().parents[2] / "Resources"
TISSUES = LABELS["magpie"]
CATEGORY = ("SCT", "49755003", "Morphologically Altered Structure")
BRAIN = ("SCT", "12738006", "Brain")
PAPER_COLORS = {1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255)}
CLINICAL_COLORS = {value: tissue.color for value, tissue in TISSUES.items()}


def code(row: dict[str, str], part: str) -> tuple[str, ...]:
    """Return coding scheme, value and meaning of a part ("Category", "Type", "Region") of a color."""
    return tuple(row[f"{part}_{field}"] for field in ("CodingScheme", "CodeValue", "CodeMeaning"))


@pytest.mark.parametrize(("name", "colors"), [("MagpieGlioma", CLINICAL_COLORS), ("MagpieGliomaPaper", PAPER_COLORS)])
def test_color_table_matches_labels_names_codes_and_colors(name, colors):
    with (RESOURCES / "Colors" / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        background, *rows = csv.DictReader(stream)
    assert (background["LabelValue"], background["Name"], background["Color_A"]) == ("0", "Background", "0")
    assert {int(row["LabelValue"]): row["Name"] for row in rows} == {
        value: tissue.label for value, tissue in TISSUES.items()
    }
    for row in rows:
        value = int(row["LabelValue"])
        assert tuple(int(row[f"Color_{channel}"]) for channel in "RGBA") == (*colors[value], 255)
        assert code(row, "Type") == TISSUES[value].code
        assert code(row, "Category") == CATEGORY
        assert code(row, "Region") == BRAIN


def test_every_color_table_is_tested():
    assert {path.name for path in (RESOURCES / "Colors").iterdir()} == {"MagpieGlioma.csv", "MagpieGliomaPaper.csv"}


def test_terminology_has_every_tissue_with_its_code_and_color():
    text = (RESOURCES / "Terminology" / "MagpieGlioma.term.json").read_text(encoding="utf-8")
    (category,) = json.loads(text)["SegmentationCodes"]["Category"]
    fields = ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")
    assert tuple(category[field] for field in fields) == CATEGORY
    types = {tuple(kind[field] for field in fields): kind for kind in category["Type"]}
    assert len(types) == len(category["Type"])
    for tissue in TISSUES.values():
        assert tuple(types[tissue.code]["recommendedDisplayRGBValue"]) == tissue.color
    assert Tissue.RC.code not in types  # a private code of magpie_core, which Slicer does not know
