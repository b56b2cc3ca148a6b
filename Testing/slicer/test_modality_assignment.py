"""Which volume is which modality, by name."""

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
        (
            "BraTS-GLI-00001-000-t1n",
            "BraTS-GLI-00001-000-t1c",
            "BraTS-GLI-00001-000-t2w",
            "BraTS-GLI-00001-000-t2f",
        ),
        ("sub-01_T1w", "sub-01_ce-gadolinium_T1w", "sub-01_T2w", "sub-01_FLAIR"),
        ("3: AX T1", "9: AX T1 POST", "4: AX T2 FSE", "5: AX T2 FLAIR"),
        ("T1_1", "T1 GD_1", "T2_1", "FLAIR_1"),
    ],
)
def test_usual_names_are_understood(assign, given):
    found = assign(*reversed(given))
    assert names(found.volumes) == dict(zip(("T1", "T1CE", "T2", "FLAIR"), given, strict=True))
    assert not found.undecided


def test_what_is_no_modality_of_the_four_is_left_out(assign):
    found = assign("seg", "DWI b1000", "localizer", "CT head", "", "tumor mask T1")
    assert not found.volumes
    assert not found.undecided


def test_two_volumes_for_one_modality_are_not_guessed(assign):
    found = assign("2019 T1ce", "2021 T1ce", "T2")
    assert names(found.volumes) == {"T2": "T2"}
    assert [node.GetName() for node in found.undecided["T1CE"]] == ["2019 T1ce", "2021 T1ce"]


def test_the_modalities_are_those_of_the_package_in_its_order():
    from MagpieSegmentationLib.ModalityAssignment import MODALITIES

    from magpie_core.imaging.modality import Modality

    assert [Modality(name).value for name in MODALITIES] == [item.value for item in Modality][:4]


def test_a_volume_chosen_twice_is_found(slicer):
    from MagpieSegmentationLib.ModalityAssignment import ModalityAssignment

    one, other = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in "ab")
    assert not ModalityAssignment.chosenTwice({"T1": one, "T2": other, "FLAIR": None})
    assert ModalityAssignment.chosenTwice({"T1": one, "FLAIR": one, "T2": other}) == [(one, ["T1", "FLAIR"])]
