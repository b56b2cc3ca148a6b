"""Assignment of volumes to modalities by name."""

from __future__ import annotations

import pytest


@pytest.fixture
def assign(slicer):
    from MagpieSegmentationLib.ModalityAssignment import ModalityAssignment

    def by_name(*names):
        nodes = [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in names]
        return ModalityAssignment.byName(nodes)

    return by_name


def names(volumes):
    return {modality: node.GetName() for modality, node in volumes.items()}


@pytest.mark.parametrize(
    "given",
    [
        ("t1", "t1c", "t2", "flair"),
        ("T1", "T1ce", "T2", "FLAIR"),
        ("BraTS-GLI-00001-000-t1n", "BraTS-GLI-00001-000-t1c", "BraTS-GLI-00001-000-t2w", "BraTS-GLI-00001-000-t2f"),
        ("sub-01_T1w", "sub-01_ce-gadolinium_T1w", "sub-01_T2w", "sub-01_FLAIR"),
        ("3: AX T1", "9: AX T1 POST", "4: AX T2 FSE", "5: AX T2 FLAIR"),
        ("T1_1", "T1 GD_1", "T2_1", "FLAIR_1"),
    ],
)
def test_by_name_assigns_common_names(assign, given):
    found = assign(*reversed(given))
    assert names(found.volumes) == dict(zip(("T1", "T1CE", "T2", "FLAIR"), given, strict=True))
    assert not found.undecided


def test_by_name_ignores_other_volumes(assign):
    found = assign("seg", "DWI b1000", "localizer", "CT head", "", "tumor mask T1")
    assert not found.volumes
    assert not found.undecided


def test_by_name_leaves_two_candidates_undecided(assign):
    found = assign("2019 T1ce", "2021 T1ce", "T2")
    assert names(found.volumes) == {"T2": "T2"}
    assert [node.GetName() for node in found.undecided["T1CE"]] == ["2019 T1ce", "2021 T1ce"]


def test_names_of_modalities_are_the_display_names_of_the_package(slicer):
    from MagpieSegmentationLib.ModalityAssignment import ModalityAssignment

    from magpie_core.imaging.modality import GLIOMA_MODALITIES, GLIOMA_MODALITY_NAMES

    text = ModalityAssignment.namesOf(GLIOMA_MODALITY_NAMES)
    assert text.split(" and as ") == [modality.label for modality in GLIOMA_MODALITIES]


def test_chosen_twice_finds_a_volume_of_two_modalities(slicer):
    from MagpieSegmentationLib.ModalityAssignment import ModalityAssignment

    one, other = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in "ab")
    assert not ModalityAssignment.chosenTwice({"T1": one, "T2": other, "FLAIR": None})
    assert ModalityAssignment.chosenTwice({"T1": one, "FLAIR": one, "T2": other}) == [(one, ["T1", "FLAIR"])]
