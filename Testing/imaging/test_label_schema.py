"""Label schemas: regions, conversion, unknown labels."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.label_schema import SCHEMAS, LabelSchema, label_schema
from magpie_core.imaging.segmentation import Segmentation

LABELS = np.array([[[0, 1, 2, 3]]], np.uint8)
BRATS_2022 = np.array([[[0, 1, 2, 4]]], np.uint8)


def test_region_masks_follow_the_schema() -> None:
    def region(schema: str, labels: np.ndarray, name: Region) -> list[int]:
        return SCHEMAS[schema].region_mask(labels, name).astype(int).ravel().tolist()

    assert region("magpie", LABELS, Region.ET) == [0, 0, 0, 1]
    assert region("magpie", LABELS, Region.TC) == [0, 1, 0, 1]
    assert region("magpie", LABELS, Region.WT) == [0, 1, 1, 1]
    assert region("msd", LABELS, Region.TC) == [0, 0, 1, 1]
    assert region("brats-2022", BRATS_2022, Region.ET) == [0, 0, 0, 1]
    assert region("brats-2024", BRATS_2022, Region.WT) == [0, 1, 1, 0], "the resection cavity is no tumor"


@pytest.mark.parametrize("schema", [name for name in SCHEMAS if name != "brats-2024"])
def test_conversion_to_another_schema_and_back_is_lossless(schema: str) -> None:
    there = SCHEMAS["magpie"].convert(LABELS, SCHEMAS[schema])
    for region in Region:
        assert (SCHEMAS[schema].region_mask(there, region) == SCHEMAS["magpie"].region_mask(LABELS, region)).all()
    assert (SCHEMAS[schema].convert(there, SCHEMAS["magpie"]) == LABELS).all()


def test_conversion_refuses_a_missing_tissue_only_if_it_occurs() -> None:
    post = SCHEMAS["brats-2024"]
    assert (post.convert(LABELS, SCHEMAS["magpie"]) == LABELS).all()
    with pytest.raises(InputError, match="resection cavity"):
        post.convert(BRATS_2022, SCHEMAS["magpie"])


def test_check_names_unknown_labels_and_suggests_a_schema() -> None:
    with pytest.raises(InputError, match="does not know: 4") as caught:
        Segmentation(BRATS_2022, np.eye(4), SCHEMAS["magpie"], "seg.nii.gz")
    assert "brats-2022" in caught.value.remedy
    assert caught.value.source == "seg.nii.gz"
    with pytest.raises(InputError, match=r"0\.5, nan"):
        SCHEMAS["magpie"].check(np.array([0.5, 1, np.nan]))


def test_an_unknown_schema_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="brats-2023"):
        label_schema("brats")


@pytest.mark.parametrize("labels", [{0: Tissue.ET}, {256: Tissue.ET}, {1: Tissue.ET, 2: Tissue.ET}])
def test_an_impossible_schema_is_refused(labels: dict[int, Tissue]) -> None:
    with pytest.raises(InputError):
        LabelSchema("own", labels)


def test_schemas_compare_by_content_and_survive_pickling() -> None:
    assert pickle.loads(pickle.dumps(SCHEMAS["msd"])) == SCHEMAS["msd"]
    assert len({SCHEMAS["magpie"], LabelSchema("magpie", {1: "NCR", 2: "ED", 3: "ET"})}) == 1  # type: ignore[dict-item]


@pytest.mark.parametrize("member", [*Tissue, *Region])
def test_tissues_and_regions_are_their_names_and_survive_pickling(member: Tissue | Region) -> None:
    assert member == member.value == str(member) == f"{member}"
    assert json.dumps(member) == f'"{member.value}"'
    assert pickle.loads(pickle.dumps(member)) is member and member.label


def test_regions_nest_and_tissues_differ_in_code_and_color() -> None:
    assert set(Region.ET.tissues) < set(Region.TC.tissues) < set(Region.WT.tissues)
    assert len({tissue.code for tissue in Tissue}) == len({tissue.color for tissue in Tissue}) == len(Tissue)
