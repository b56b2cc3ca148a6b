"""Export of volumes with their world coordinates."""

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
def test_export_keeps_values_and_world_coordinates(slicer, exporter, add_volume, tmp_path, grid):
    node = add_volume(grid)
    exporter.export(node, tmp_path / "image é.nii")
    volume = read_volume(tmp_path / "image é.nii")
    np.testing.assert_allclose(volume.affine, grid, atol=1e-5)
    np.testing.assert_array_equal(volume.data, slicer.util.arrayFromVolume(node).transpose(2, 1, 0))


@pytest.mark.parametrize("codes", [(2, 1), (2, 2), (4, 1), (1, 1), (0, 1), (1, 0)])
def test_export_of_different_sform_and_qform_matches_slicer(slicer, exporter, load_volume, tmp_path, codes):
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
def test_export_keeps_values_of_every_type(slicer, exporter, add_volume, tmp_path, dtype):
    node = add_volume(dtype=dtype)
    exporter.export(node, tmp_path / "image.nii")
    found = read_volume(tmp_path / "image.nii").data
    np.testing.assert_array_equal(found, slicer.util.arrayFromVolume(node).transpose(2, 1, 0))


def test_export_applies_parent_transforms_without_changing_the_scene(slicer, exporter, add_volume, put_under, tmp_path):
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


def rejection(exporter, node, tmp_path):
    with pytest.raises(InputError) as caught:
        exporter.export(node, tmp_path / "image.nii")
    assert caught.value.source == node.GetName()
    assert caught.value.remedy
    assert not list(tmp_path.iterdir())
    return caught.value


def test_export_rejects_a_shearing_transform(exporter, add_volume, put_under, tmp_path):
    node = add_volume()
    put_under(node, SHEAR)
    assert "perpendicular" in rejection(exporter, node, tmp_path).what


def test_export_rejects_a_nonlinear_transform(slicer, exporter, add_volume, tmp_path):
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
    error = rejection(exporter, node, tmp_path)
    assert "not linear" in error.what
    assert "warp" in error.cause


def test_export_rejects_a_node_without_image(slicer, exporter, tmp_path):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    assert "no image" in rejection(exporter, node, tmp_path).cause


def test_export_rejects_a_label_map(slicer, exporter, tmp_path):
    array = np.zeros((4, 5, 6), np.uint8)
    node = slicer.util.addVolumeFromArray(array, name="mask", nodeClassName="vtkMRMLLabelMapVolumeNode")
    assert "label map" in rejection(exporter, node, tmp_path).cause


def test_export_rejects_a_color_image(slicer, exporter, tmp_path):
    array = np.zeros((4, 5, 6, 3), np.uint8)
    node = slicer.util.addVolumeFromArray(array, name="photo", nodeClassName="vtkMRMLVectorVolumeNode")
    assert "3 values" in rejection(exporter, node, tmp_path).cause


def test_export_rejects_a_single_slice(exporter, add_volume, tmp_path):
    assert "single slice" in rejection(exporter, add_volume(shape=(6, 7, 1)), tmp_path).cause


def test_export_raises_if_the_file_cannot_be_written(exporter, add_volume, tmp_path):
    (tmp_path / "a file").write_text("")
    with pytest.raises(ResourceError) as caught:
        exporter.export(add_volume(), tmp_path / "a file" / "image.nii")
    assert caught.value.source == "image"
