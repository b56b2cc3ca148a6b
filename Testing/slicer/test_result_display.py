"""What of a result is shown: never the proposal, the core inside the edema, the diameters after a scene is reopened."""

from __future__ import annotations

import numpy as np
import pytest

from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import write_segmentation

AFFINE = np.array([[-1.0, 0, 0, 20], [0, -1.2, 0, 30], [0, 0, 2, -10], [0, 0, 0, 1]])
LARGEST, CENTER = 6, (7, 8)  # the axial slice with the largest tumor, and its middle


@pytest.fixture
def result(slicer, tmp_path, load_volume):
    """A result in the scene, with an edema around a core."""
    from MagpieSegmentationLib.SegmentationImporter import SegmentationImporter
    from MagpieSegmentationLib.SegmentationResult import SegmentationResult

    labels = np.zeros((16, 18, 12), np.uint8)
    labels[4:11, 4:13, LARGEST] = 2
    labels[5:10, 6:11, LARGEST - 2 : LARGEST + 2] = 3
    labels[7, 8, LARGEST] = 1
    write_volume(Volume((labels > 0).astype(np.float32), AFFINE), tmp_path / "image.nii.gz")
    write_segmentation(Segmentation(labels, AFFINE, label_schema("magpie")), tmp_path / "labels.nii.gz")
    node = SegmentationImporter().load(tmp_path / "labels.nii.gz", load_volume(tmp_path / "image.nii.gz"), "glioma")
    return SegmentationResult(node, {"volumes_ml": {}, "warnings": []}).attach()


def test_proposal_is_hidden_before_it_comes_into_the_scene_and_stays_hidden(slicer, result):
    seen = []

    def added(scene, event):
        for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
            if node is not result.segmentationNode:
                seen.append((node.GetHideFromEditors(), node.GetDisplayVisibility()))

    tag = slicer.mrmlScene.AddObserver(slicer.mrmlScene.NodeAddedEvent, added)
    result.keepProposal()
    slicer.mrmlScene.RemoveObserver(tag)
    assert seen and set(seen) == {(1, 0)}
    proposal = result.proposalNode
    proposal.CreateDefaultDisplayNodes()  # as Slicer does at an export and when a scene is loaded
    assert not proposal.GetDisplayVisibility()
    proposal.SetDisplayVisibility(True)
    result.hideProposal()
    assert not proposal.GetDisplayVisibility()


def test_results_of_other_studies_are_hidden(slicer, result):
    from MagpieSegmentationLib.SegmentationResult import SegmentationResult, showOnly

    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    theirs = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    for node in (other, theirs):
        node.CreateDefaultDisplayNodes()
    SegmentationResult(other, {}).attach()
    showOnly(result.segmentationNode)
    assert result.segmentationNode.GetDisplayVisibility() and theirs.GetDisplayVisibility()
    assert not other.GetDisplayVisibility()
    showOnly()
    assert not result.segmentationNode.GetDisplayVisibility() and theirs.GetDisplayVisibility()


def test_result_is_found_by_the_volumes_that_were_segmented(slicer, result):
    from MagpieSegmentationLib.SegmentationResult import SegmentationResult

    volume, other = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode") for _ in range(2))
    result.keepVolumes({"T1CE": volume})
    assert SegmentationResult.ofVolumes({"T1CE": volume}).segmentationNode is result.segmentationNode
    assert SegmentationResult.ofVolumes({"T1": volume}) is None
    assert SegmentationResult.ofVolumes({"T1CE": volume, "T2": other}) is None


def test_core_is_visible_inside_the_edema_in_3d(result):
    display, segmentation = result.segmentationNode.GetDisplayNode(), result.segmentationNode.GetSegmentation()
    core, edema, enhancing = [display.GetSegmentOpacity3D(segment) for segment in segmentation.GetSegmentIDs()]
    assert edema < enhancing < core == 1


def test_middle_of_tumor_is_in_the_largest_axial_section(slicer, result):
    from MagpieSegmentationLib.Views import middleOfTumor

    assert middleOfTumor(result.segmentationNode) == pytest.approx((AFFINE @ [*CENTER, LARGEST, 1])[:3])
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shift = np.eye(4)
    shift[:3, 3] = 5, 6, 7
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    result.segmentationNode.SetAndObserveTransformNodeID(transform.GetID())
    moved = (shift @ AFFINE @ [*CENTER, LARGEST, 1])[:3]
    assert middleOfTumor(result.segmentationNode) == pytest.approx(moved)
    assert middleOfTumor(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")) is None


def test_diameters_of_a_reopened_scene_are_known_to_be_shown(slicer, result, tmp_path):
    from MagpieSegmentationLib.DiameterLines import DiameterLines
    from MagpieSegmentationLib.SegmentationResult import SegmentationResult

    result.keepProposal()
    lines = DiameterLines()
    assert len(lines.show(result)) == 6 == len(lines.shown(result))
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    reopened = SegmentationResult.of(slicer.util.getFirstNodeByName("glioma", "vtkMRMLSegmentationNode"))
    assert len(lines.shown(reopened)) == 6
    assert not reopened.proposalNode.GetDisplayVisibility()
    lines.hide(reopened)
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")


def test_labels_of_diameters_do_not_cover_each_other(slicer, result):
    from MagpieSegmentationLib.DiameterLines import DiameterLines

    shown = []
    for node in DiameterLines().show(result):
        assert not node.GetDisplayNode().GetVisibility3D()
        for index in range(2):
            if node.GetNthControlPointLabel(index):
                shown.append(node.GetNthControlPointPositionWorld(index))
    assert shown
    for number, one in enumerate(shown):
        for other in shown[:number]:
            assert any(abs(a - b) >= size for a, b, size in zip(one, other, (36, 12, 5), strict=True))


def test_line_and_table_give_the_same_whole_millimeters(slicer):
    from MagpieSegmentationLib.Formatting import millimetersText

    measured = 77.46
    reported = round(measured, 1)
    assert millimetersText(measured) == millimetersText(reported) == "78"
