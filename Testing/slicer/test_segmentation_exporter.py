"""Export of segments to a label map by their terminology."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import read_segmentation, write_segmentation

AFFINE = np.array([[-1.0, 0, 0, 20], [0, -1.2, 0, 30], [0, 0, 2, -10], [0, 0, 0, 1]])


@pytest.fixture
def imported(slicer, load_volume, tmp_path):
    """A segmentation node, its volume node, and its labels (I, J, K)."""
    from MagpieSegmentationLib.SegmentationImporter import SegmentationImporter

    labels = np.zeros((14, 12, 10), np.uint8)
    labels[2:8, 2:9, 2:8] = 2
    labels[3:6, 3:7, 3:7] = 1
    labels[4:5, 4:6, 4:6] = 3
    write_volume(Volume(np.random.default_rng(0).random(labels.shape, np.float32), AFFINE), tmp_path / "image.nii.gz")
    write_segmentation(Segmentation(labels, AFFINE, label_schema("magpie")), tmp_path / "segmentation.nii.gz")
    volume = load_volume(tmp_path / "image.nii.gz")
    return (SegmentationImporter().load(str(tmp_path / "segmentation.nii.gz"), volume, "glioma"), volume, labels)


@pytest.fixture
def exporter(slicer):
    from MagpieSegmentationLib.SegmentationExporter import SegmentationExporter

    return SegmentationExporter()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_export_is_independent_of_order_and_names_of_segments(imported, exporter, order, tmp_path):
    node, volume, labels = imported
    segmentation = node.GetSegmentation()
    identifiers = [segmentation.GetNthSegmentID(index) for index in range(3)]
    for place, which in enumerate(order):
        segmentation.SetSegmentIndex(identifiers[which], place)
    for index in range(3):
        segmentation.GetNthSegment(index).SetName(f"renamed {index}")
    exporter.export(node, volume, tmp_path / "out.nii.gz")
    again = read_segmentation(tmp_path / "out.nii.gz")
    assert again.schema.name == "magpie"
    np.testing.assert_array_equal(again.labels, labels)
    np.testing.assert_allclose(again.affine, AFFINE, atol=1e-4)


def test_labels_of_a_removed_segment_are_background(imported, exporter):
    node, volume, labels = imported
    segmentation = node.GetSegmentation()
    for index in range(3):
        if exporter.labelOf(segmentation.GetNthSegment(index)) == 3:
            segmentation.RemoveSegment(segmentation.GetNthSegmentID(index))
            break
    found = exporter.labels(node, volume).transpose(2, 1, 0)
    np.testing.assert_array_equal(found, np.where(labels == 3, 0, labels))


def test_labels_rejects_duplicate_and_unknown_terminology(slicer, imported, exporter):
    node, volume, _ = imported
    segmentation = node.GetSegmentation()
    copy = slicer.vtkSegment()
    copy.DeepCopy(segmentation.GetNthSegment(0))
    copy.SetName("twin")
    segmentation.AddSegment(copy, "twin")
    with pytest.raises(InputError, match="Two segments have the same terminology"):
        exporter.labels(node, volume)
    copy.RemoveTag(copy.GetTerminologyEntryTagName())
    with pytest.raises(InputError, match="does not know the terminology.*twin"):
        exporter.labels(node, volume)
