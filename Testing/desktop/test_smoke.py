"""Both panels open in a desktop Slicer, and the sample study is segmented."""

from __future__ import annotations

_SEGMENTS = "slicer.util.getNodesByClass('vtkMRMLSegmentationNode')"


def test_both_panels_open_and_the_sample_is_segmented(user):
    user.open_module("MAGPIE Training", "MagpieTraining")
    user.open_module("MAGPIE Glioma", "MagpieSegmentation")
    user.click("MagpieSegmentation", "sampleButton")
    user.wait_for("magpie_widget('MagpieSegmentation', 'segmentButton').enabled")
    user.click("MagpieSegmentation", "segmentButton")
    user.wait_for(f"{_SEGMENTS} and not magpie_widget('MagpieSegmentation', 'cancelButton').enabled")
    user.picture("segmented")
    counts = user.look(
        "[[int((slicer.util.arrayFromSegmentBinaryLabelmap(node, segment) > 0).sum()) "
        f"for segment in node.GetSegmentation().GetSegmentIDs()] for node in {_SEGMENTS}]"
    )
    assert counts and all(len(voxels) == 3 and all(voxels) for voxels in counts)
    report = user.look(f"{_SEGMENTS}[0].GetAttribute('MAGPIE.report')")
    assert '+installed"' in report
