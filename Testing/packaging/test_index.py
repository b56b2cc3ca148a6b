"""The rules of the Extensions Index."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
ENTRY = json.loads((ROOT / "MAGPIE.json").read_text(encoding="utf-8"))
FROM_THE_ROOT = re.compile(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/main/(.+)")

# slicer-extension-catalog-entry-schema-v1.0.2
SCHEMA = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "dicom_support_rule": str,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}


def metadata(name: str) -> str:
    """Return a value by the expression of the index: a plain string in double quotes."""
    found = re.findall(rf'set\s*\({name}\s*"([^"]+)"[ ]*\)', CMAKE, re.IGNORECASE | re.MULTILINE)
    assert len(found) == 1, name
    return found[0]


def test_catalog_entry_is_valid():
    assert ENTRY["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert {"$schema", "category", "scm_url"} <= set(ENTRY) <= set(SCHEMA)
    for name, value in ENTRY.items():
        assert type(value) is SCHEMA[name], name
    assert 1 <= ENTRY["tier"] <= 5
    assert all(isinstance(name, str) for name in ENTRY["build_dependencies"])


def test_names_follow_the_rules_of_the_index():
    project = re.findall(r"project\s*\(\s*([^\s\)\n\r]+)", CMAKE, re.IGNORECASE | re.MULTILINE)[0]
    assert (ROOT / f"{project}.json").is_file()
    assert "slicer" not in project.lower()
    address = urlsplit(ENTRY["scm_url"])
    assert address.scheme in ("git", "https")
    assert Path(address.path).stem.startswith("Slicer")


def test_category_dependencies_and_homepage_match_the_entry():
    assert ENTRY["category"] == metadata("EXTENSION_CATEGORY") == "Segmentation"
    assert (
        ENTRY["build_dependencies"] == metadata("EXTENSION_DEPENDS").split() == ["PyTorch", "SlicerDevelopmentToolbox"]
    )
    assert ENTRY["scm_url"] == metadata("EXTENSION_HOMEPAGE") + ".git"


def test_description_states_purpose_and_research_use():
    description = metadata("EXTENSION_DESCRIPTION")
    assert "glioma segmentation" in description.lower()
    assert "research use only" in description.lower()
    assert metadata("EXTENSION_CONTRIBUTORS")


@pytest.mark.parametrize("name", ["EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS"])
def test_pictures_are_in_the_repository(name):
    for address in metadata(name).split():
        inside = FROM_THE_ROOT.fullmatch(address)
        assert inside, address
        assert address.startswith(metadata("EXTENSION_HOMEPAGE").replace("github.com", "raw.githubusercontent.com"))
        picture = ROOT / inside[1]
        assert picture.suffix in (".png", ".jpg", ".jpeg", ".gif")
        assert picture.is_file(), picture


def test_icons_have_128_x_128_pixels():
    for path in [ROOT / "Resources/Icons/MAGPIE.png", *ROOT.glob("Magpie*/Resources/Icons/Magpie*.png")]:
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        assert width == height == 128


def test_license_is_apache():
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_root_file_has_the_includes_of_an_extension():
    for line in (
        "find_package(Slicer REQUIRED)",
        "include(${Slicer_USE_FILE})",
        "include(${Slicer_EXTENSION_GENERATE_CONFIG})",
        "include(${Slicer_EXTENSION_CPACK})",
    ):
        assert f"\n{line}\n" in CMAKE
    assert CMAKE.rstrip().endswith("include(${Slicer_EXTENSION_CPACK})")
