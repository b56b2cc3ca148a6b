"""Volumes leave the scene as files that lie where the volumes do."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from magpie_core.errors import InputError, ResourceError
from magpie_core.io.nifti import read_volume

LPS = np.array([[-1.0, 0, 0, 20], [0, -1.2, 0, 30], [0, 0, 2, -10], [0, 0, 0, 1]])
TURN = np.array([[0.8, -0.6, 0, 3], [0.6, 0.8, 0, -2], [0, 0, 1, 7], [0, 0, 0, 1]])
SHEAR = np.array([[1, 0.2, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
GRIDS = {
    "RAS": np.diag([1.0, 1.2, 2, 1]),
    "LPS": LPS,
    "left-handed": LPS @ np.diag([-1.0, 1, 1, 1]),
    "permuted": LPS[:, [2, 0, 1, 3]],
    "oblique": TURN @ LPS,
}


@pytest.fixture
def exporter(slicer):
    from MagpieSegmentationLib.VolumeExporter import VolumeExporter

    return VolumeExporter()


@pytest.fixture
def add_volume(slicer):
    def add(ijk_to_ras=LPS, shape=(6, 7, 8), dtype=np.int16):
        array = np.random.default_rng(0).integers(0, 100, shape[::-1]).astype(dtype)
        return slicer.util.addVolumeFromArray(array, slicer.util.vtkMatrixFromArray(ijk_to_ras), "image")

    return add


@pytest.fixture
def put_under(slicer):
    def put(node, matrix):
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "registration")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        transform.SetAndObserveTransformNodeID(node.GetTransformNodeID())
        node.SetAndObserveTransformNodeID(transform.GetID())
        return transform

    return put


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_file_has_the_values_and_the_place_of_its_volume(slicer, exporter, add_volume, tmp_path, grid):
    node = add_volume(grid)
    exporter.export(node, tmp_path / "image é.nii")
    volume = read_volume(tmp_path / "image é.nii")
    np.testing.assert_allclose(volume.affine, grid, atol=1e-5)
    np.testing.assert_array_equal(volume.data, slicer.util.arrayFromVolume(node).transpose(2, 1, 0))


@pytest.mark.parametrize("codes", [(2, 1), (2, 2), (4, 1), (1, 1), (0, 1), (1, 0)])
def test_a_file_with_two_orientations_is_placed_where_slicer_shows_it(
    slicer, exporter, load_volume, tmp_path, codes
):
    sform, qform = LPS, TURN @ LPS
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), None)
    image.set_sform(sform, code=codes[0])
    image.set_qform(qform, code=codes[1])
    nibabel.save(image, tmp_path / "two.nii")
    node = load_volume(tmp_path / "two.nii")
    exporter.export(node, tmp_path / "image.nii")
    shown = slicer.util.arrayFromVTKMatrix(exporter.ijkToWorld(node))
    np.testing.assert_allclose(read_volume(tmp_path / "image.nii").affine, shown, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_every_kind_of_value_survives(slicer, exporter, add_volume, tmp_path, dtype):
    node = add_volume(dtype=dtype)
    exporter.export(node, tmp_path / "image.nii")
    found = read_volume(tmp_path / "image.nii").data
    np.testing.assert_array_equal(found, slicer.util.arrayFromVolume(node).transpose(2, 1, 0))


def test_parent_transforms_are_in_the_file_and_the_scene_is_untouched(
    slicer, exporter, add_volume, put_under, tmp_path
):
    node = add_volume()
    put_under(node, TURN)
    put_under(node, np.diag([1.0, 1, 1, 1]) + np.eye(4, k=3) * 5)
    before = slicer.mrmlScene.GetNumberOfNodes(), node.GetTransformNodeID()
    exporter.export(node, tmp_path / "image.nii")
    expected = slicer.util.arrayFromVTKMatrix(exporter.ijkToWorld(node))
    np.testing.assert_allclose(read_volume(tmp_path / "image.nii").affine, expected, atol=1e-5)
    assert not np.allclose(expected, LPS)
    assert (slicer.mrmlScene.GetNumberOfNodes(), node.GetTransformNodeID()) == before
    kept = slicer.vtkMRMLScalarVolumeNode()
    kept.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(LPS))
    np.testing.assert_allclose(node.GetOrigin(), kept.GetOrigin())


def refusal(exporter, node, tmp_path):
    with pytest.raises(InputError) as caught:
        exporter.export(node, tmp_path / "image.nii")
    assert caught.value.source == node.GetName()
    assert caught.value.remedy
    assert not list(tmp_path.iterdir())
    return caught.value


def test_a_transform_that_shears_is_refused(exporter, add_volume, put_under, tmp_path):
    node = add_volume()
    put_under(node, SHEAR)
    assert "perpendicular" in refusal(exporter, node, tmp_path).what


def test_a_transform_that_is_not_linear_is_refused(slicer, exporter, add_volume, tmp_path):
    import vtk

    node = add_volume()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    spline = vtk.vtkThinPlateSplineTransform()
    points = vtk.vtkPoints()
    moved = vtk.vtkPoints()
    for point in ((0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9), (5, 5, 5)):
        points.InsertNextPoint(point)
        moved.InsertNextPoint(point if point[0] != 5 else (6, 5, 5))
    spline.SetSourceLandmarks(points)
    spline.SetTargetLandmarks(moved)
    spline.SetBasisToR()
    transform.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(transform.GetID())
    error = refusal(exporter, node, tmp_path)
    assert "not linear" in error.what
    assert "warp" in error.cause


def test_a_node_without_an_image_is_refused(slicer, exporter, tmp_path):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    assert "no image" in refusal(exporter, node, tmp_path).cause


def test_a_label_map_is_refused(slicer, exporter, tmp_path):
    array = np.zeros((4, 5, 6), np.uint8)
    node = slicer.util.addVolumeFromArray(array, name="mask", nodeClassName="vtkMRMLLabelMapVolumeNode")
    assert "label map" in refusal(exporter, node, tmp_path).cause


def test_a_color_image_is_refused(slicer, exporter, tmp_path):
    array = np.zeros((4, 5, 6, 3), np.uint8)
    node = slicer.util.addVolumeFromArray(array, name="photo", nodeClassName="vtkMRMLVectorVolumeNode")
    assert "3 values" in refusal(exporter, node, tmp_path).cause


def test_a_single_slice_is_refused(exporter, add_volume, tmp_path):
    assert "single slice" in refusal(exporter, add_volume(shape=(6, 7, 1)), tmp_path).cause


def test_a_file_that_cannot_be_written_is_told(exporter, add_volume, tmp_path):
    (tmp_path / "a file").write_text("")
    with pytest.raises(ResourceError) as caught:
        exporter.export(add_volume(), tmp_path / "a file" / "image.nii")
    assert caught.value.source == "image"
