"""Import of label maps with world coordinates, names, colors and codes."""

from __future__ import annotations

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import Tissue
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import write_segmentation

AFFINE = np.array([[-1.0, 0, 0, 20], [0, -1.2, 0, 30], [0, 0, 2, -10], [0, 0, 0, 1]])
GRIDS = {
    "LPS": AFFINE,
    "left-handed": AFFINE @ np.diag([-1.0, 1, 1, 1]),
    "permuted": AFFINE[:, [1, 2, 0, 3]],
    "oblique": np.array([[0.8, -0.6, 0, 3], [0.6, 0.8, 0, -2], [0, 0, 1, 7], [0, 0, 0, 1]]) @ AFFINE,
}


@pytest.fixture
def importer(slicer):
    from MagpieSegmentationLib.SegmentationImporter import SegmentationImporter

    return SegmentationImporter()


@pytest.fixture
def make_result(tmp_path, load_volume):
    """Writes an image and a label map on its grid; returns the image node, the path of the label map and the labels."""

    def make(affine=AFFINE, *, values=(1, 2, 3), schema="magpie"):
        labels = np.zeros((14, 12, 10), np.uint8)
        for place, value in enumerate(values):
            labels[2 + 4 * place : 5 + 4 * place, 3 : 6 + place, 2 : 7 - place] = value
        write_volume(Volume(labels.astype(np.float32), affine), tmp_path / "image.nii.gz")
        path = tmp_path / "segmentation.nii.gz"
        write_segmentation(Segmentation(labels, affine, label_schema(schema)), path)
        return load_volume(tmp_path / "image.nii.gz"), path, labels

    return make


def segments_of(node):
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]


def terminology_of(segment):
    import vtk

    tag = vtk.reference("")
    segment.GetTag(segment.GetTerminologyEntryTagName(), tag)
    return str(tag)


def world_points(labels, affine, value):
    """Return the sorted centers of the voxels of a label in mm."""
    index = np.argwhere(labels == value)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    return points[np.lexsort(points.round(2).T)]


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
def test_load_keeps_the_world_coordinates_of_every_label(importer, make_result, labels_in_world, affine):
    image, path, labels = make_result(affine)
    node = importer.load(path, image, "result")
    found, to_world = labels_in_world(node, image)
    for value in (1, 2, 3):
        expected = world_points(labels, affine, value)
        np.testing.assert_allclose(world_points(found, to_world, value), expected, atol=1e-3)


def test_load_follows_the_parent_transform_of_the_volume(slicer, importer, make_result, labels_in_world):
    turn = np.array([[0.8, -0.6, 0, 3], [0.6, 0.8, 0, -2], [0, 0, 1, 7], [0, 0, 0, 1]])
    image, path, labels = make_result(turn @ AFFINE)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(turn))
    image.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(AFFINE))
    image.SetAndObserveTransformNodeID(transform.GetID())
    node = importer.load(path, image, "result")
    assert node.GetTransformNodeID() == transform.GetID()
    for matrix in (turn, np.eye(4)):
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        found, to_world = labels_in_world(node, image)
        expected = world_points(labels, matrix @ AFFINE, 2)
        np.testing.assert_allclose(world_points(found, to_world, 2), expected, atol=1e-3)


def test_segments_have_names_colors_and_codes_of_their_tissues(importer, make_result):
    image, path, _ = make_result()
    segments = segments_of(importer.load(path, image, "result"))
    assert [segment.GetName() for segment in segments] == [Tissue(name).label for name in ("NCR", "ED", "ET")]
    for segment, tissue in zip(segments, (Tissue.NCR, Tissue.ED, Tissue.ET), strict=True):
        assert tuple(round(255 * part) for part in segment.GetColor()) == tissue.color
        context, category, kind, _, anatomy, region, _ = terminology_of(segment).split("~")
        assert tuple(kind.split("^")) == tissue.code
        assert category == "SCT^49755003^Morphologically Altered Structure"
        assert region == "SCT^12738006^Brain"
        assert context and anatomy


def test_terminology_in_slicer_has_the_same_codes_and_colors(slicer, importer, make_result):
    importer.loadTerminology()
    importer.loadTerminology()
    logic = slicer.modules.terminologies.logic()
    image, path, _ = make_result()
    segments = segments_of(importer.load(path, image, "result"))
    for segment, tissue in zip(segments, (Tissue.NCR, Tissue.ED, Tissue.ET), strict=True):
        context, category = terminology_of(segment).split("~")[:2]
        assert logic.IsTerminologyContextLoaded(context)
        category_object = slicer.vtkSlicerTerminologyCategory()
        kind = slicer.vtkSlicerTerminologyType()
        scheme, code, meaning = category.split("^")
        assert logic.GetNumberOfCategoriesInTerminology(context) == 1
        assert logic.GetNthCategoryInTerminology(context, 0, category_object)
        assert category_object.GetCodeValue() == code
        colors = {}
        for index in range(logic.GetNumberOfTypesInTerminologyCategory(context, category_object)):
            logic.GetNthTypeInTerminologyCategory(context, category_object, index, kind)
            colors[kind.GetCodingSchemeDesignator(), kind.GetCodeValue()] = kind.GetRecommendedDisplayRGBValue()
        assert tuple(colors[tissue.code[:2]]) == tissue.color


def test_paper_palette_is_red_green_and_blue(slicer, make_result):
    from MagpieSegmentationLib.SegmentationImporter import SegmentationImporter

    image, path, _ = make_result()
    segments = segments_of(SegmentationImporter("paper").load(path, image, "result"))
    assert [segment.GetColor() for segment in segments] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


def test_absent_label_has_an_empty_segment(importer, make_result, labels_in_world):
    image, path, labels = make_result(values=(2, 3))
    node = importer.load(path, image, "result")
    segments = {segment.GetName(): segment for segment in segments_of(node)}
    assert set(segments) == {Tissue(name).label for name in ("NCR", "ED", "ET")}
    found, _ = labels_in_world(node, image)
    assert set(np.unique(found)) == {0, 2, 3}
    assert "6574001" in terminology_of(segments[Tissue.NCR.label])


def test_empty_label_map_has_three_empty_segments(importer, make_result, labels_in_world):
    image, path, _ = make_result(values=())
    node = importer.load(path, image, "result")
    assert len(segments_of(node)) == 3
    assert not labels_in_world(node, image)[0].any()


def test_exported_labels_are_independent_of_the_order_of_segments(slicer, importer, make_result):
    import vtk

    image, path, labels = make_result()
    node = importer.load(path, image, "result")
    segmentation = node.GetSegmentation()
    backwards = vtk.vtkStringArray()
    for index in reversed(range(3)):
        backwards.InsertNextValue(segmentation.GetNthSegmentID(index))
    out = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    slicer.modules.segmentations.logic().ExportSegmentsToLabelmapNode(
        node, backwards, out, image, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, importer.colorTable()
    )
    found = slicer.util.arrayFromVolume(out).transpose(2, 1, 0)
    counts = {value: int((found == value).sum()) for value in (1, 2, 3)}
    assert counts == {value: int((labels == value).sum()) for value in (1, 2, 3)}


@pytest.mark.parametrize("schema", ["msd", "brats-2022"])
def test_load_rejects_another_label_schema_and_leaves_no_node(slicer, importer, make_result, schema):
    image, path, _ = make_result(values=(1, 2), schema=schema)
    importer.colorTable()
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(InputError, match="label"):
        importer.load(path, image, "result")
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_load_rejects_a_missing_label_schema(importer, make_result):
    image, path, _ = make_result()
    path.with_name("segmentation.json").unlink()
    with pytest.raises(InputError, match="schema"):
        importer.load(path, image, "result")


def test_load_adds_only_segmentation_and_one_color_table(slicer, importer, make_result):
    image, path, _ = make_result()
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    before = slicer.mrmlScene.GetNumberOfNodes()
    importer.load(path, image, "first")
    importer.load(path, image, "second")
    added = [
        slicer.mrmlScene.GetNthNode(index).GetClassName()
        for index in range(before, slicer.mrmlScene.GetNumberOfNodes())
    ]
    assert sorted(added) == sorted(
        ["vtkMRMLColorTableNode"] + 2 * ["vtkMRMLSegmentationNode", "vtkMRMLSegmentationDisplayNode"]
    )


def test_load_sets_the_reference_geometry(slicer, importer, make_result):
    image, path, _ = make_result()
    node = importer.load(path, image, "result")
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert node.GetNodeReference(role) is image
