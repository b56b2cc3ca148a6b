"""Both panels open in a desktop Slicer, and the sample study is segmented."""

from __future__ import annotations

_WIDGET = "slicer.util.findChild(slicer.modules.magpiesegmentation.widgetRepresentation(), {!r})"
_SEGMENTS = "slicer.util.getNodesByClass('vtkMRMLSegmentationNode')"


def test_both_panels_open_and_the_sample_is_segmented(slicer, click, wait_for):
    for module in ("MagpieTraining", "MagpieSegmentation"):
        slicer.exec(f"slicer.util.selectModule({module!r})")
        assert slicer.value("slicer.util.selectedModule()") == module
    sources = slicer.value("[one.sampleName for one in slicer.modules.sampleDataSources['MAGPIE']]")
    assert sources == ["MAGPIESynthetic"]

    click("MagpieSegmentation", "sampleButton")
    wait_for(_WIDGET.format("segmentButton") + ".enabled")
    click("MagpieSegmentation", "segmentButton")
    wait_for(f"{_SEGMENTS} and not {_WIDGET.format('cancelButton')}.enabled")

    counts = slicer.value(
        "[[int((slicer.util.arrayFromSegmentBinaryLabelmap(node, segment) > 0).sum()) "
        f"for segment in node.GetSegmentation().GetSegmentIDs()] for node in {_SEGMENTS}]"
    )
    assert counts and all(len(voxels) == 3 and all(voxels) for voxels in counts)
