"""The rules of the Extensions Index."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from magpie_core.models.description import read_description

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


def test_dependencies_and_homepage_match_the_entry():
    assert ENTRY["category"] == "Segmentation"
    assert (
        ENTRY["build_dependencies"] == metadata("EXTENSION_DEPENDS").split() == ["PyTorch", "SlicerDevelopmentToolbox"]
    )
    assert ENTRY["scm_url"] == metadata("EXTENSION_HOMEPAGE") + ".git"


def test_extension_is_suggested_for_mr_images():
    """The rule is a Python-like expression of DICOM attributes (https://pypi.org/project/rule-engine)."""
    rule = ENTRY["dicom_support_rule"]
    assert eval(rule, {"Modality": "MR"}) and not eval(rule, {"Modality": "CT"})  # noqa: S307


def test_description_states_purpose_versions_and_licenses():
    description = metadata("EXTENSION_DESCRIPTION")
    assert "glioma segmentation" in description.lower()
    assert "research use only" in description.lower()
    assert re.fullmatch(r"[^,()]+ \([^,()]+\)", metadata("EXTENSION_CONTRIBUTORS"))  # Name (Organization)
    assert "Slicer 5.12 and later (Python 3.12)" in description
    for folder in sorted((ROOT / "Resources" / "Models").iterdir()):
        model = read_description(folder)
        licenses = {"Apache-2.0": "Apache-2.0", "CC-BY-NC-SA-4.0": "CC BY-NC-SA 4.0: research only, no commercial use"}
        assert re.search(rf"weights {model.name}\b.*{re.escape(licenses[model.license])}", description)


@pytest.mark.parametrize("module", ["MagpieSegmentation", "MagpieTraining"])
def test_modules_name_contributors_with_organization_and_link_to_documentation(module):
    text = (ROOT / module / f"{module}.py").read_text(encoding="utf-8")
    assert f'parent.contributors = ["{metadata("EXTENSION_CONTRIBUTORS")}"]' in text
    (page,) = re.findall(rf"<a href='{metadata('EXTENSION_HOMEPAGE')}/blob/main/([^']+)'>", text)
    assert (ROOT / page).is_file()


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_pages_name_the_supported_slicer_and_the_extensions_manager(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "Slicer 5.12 and later (Python 3.12)" in text
    assert "Extensions Manager" in text
    assert text.index("Extensions Manager") < 1200, "before everything else"


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
    assert "Apache License" in (ROOT / "LICENSE.txt").read_text(encoding="utf-8")


def test_root_file_follows_the_template_of_slicer():
    assert CMAKE.startswith("cmake_minimum_required(VERSION 3.28.0...3.28.0 FATAL_ERROR)\n")
    assert "EXTENSION_CATEGORY" not in CMAKE  # it stands in the entry
    for line in (
        "find_package(Slicer REQUIRED)",
        "include(${Slicer_USE_FILE})",
        "include(${Slicer_EXTENSION_GENERATE_CONFIG})",
        "include(${Slicer_EXTENSION_CPACK})",
    ):
        assert f"\n{line}\n" in CMAKE
    assert CMAKE.rstrip().endswith("include(${Slicer_EXTENSION_CPACK})")
