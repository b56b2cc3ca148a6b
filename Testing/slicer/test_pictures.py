"""A segmentation in slices and in 3-D, compared with stored pictures.

The slices are from Slicer's slice logic, with cuts of the closed surfaces as outlines; all is rendered off-screen.
MAGPIE_NEW_PICTURES=1 stores new pictures: check them before you commit them.
"""

from __future__ import annotations

import numpy as np
import pytest

from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import write_segmentation

SIZE = 160
AFFINE = np.array([[0, 0, -2.0, 30], [-1.0, 0, 0, 40], [0, 1.2, 0, -35], [0, 0, 0, 1]])


@pytest.fixture
def scene(slicer, load_volume, tmp_path):
    """An asymmetric head with a tumor on the patient's right, stored sagittally, and its segmentation."""
    from MagpieSegmentationLib.SegmentationImporter import SegmentationImporter

    shape = (72, 60, 30)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    world = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]

    def ball(center, radius):
        return np.linalg.norm(world - np.array(center), axis=-1) < radius

    image = np.where(ball((0, 4, 0), 27), 300.0, 0.0)
    image[ball((0, 22, 2), 7)] = 550
    labels = np.zeros(shape, np.uint8)
    for label, radius in ((2, 12), (3, 8), (1, 4)):
        labels[ball((13, 2, 6), radius)] = label
        image[ball((13, 2, 6), radius)] = {2: 400, 3: 700, 1: 150}[label]
    write_volume(Volume(image.astype(np.float32), AFFINE), tmp_path / "t1ce.nii.gz")
    write_segmentation(Segmentation(labels, AFFINE, label_schema("magpie")), tmp_path / "segmentation.nii.gz")
    volume = load_volume(tmp_path / "t1ce.nii.gz")
    node = SegmentationImporter().load(str(tmp_path / "segmentation.nii.gz"), volume, "glioma")
    node.CreateClosedSurfaceRepresentation()
    return volume, node


def _slice(slicer, volume, node, orientation: str) -> np.ndarray:
    """(SIZE, SIZE, 3): the slice through the tumor with the outlines of the segments."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    name = {"Axial": "Red", "Sagittal": "Yellow", "Coronal": "Green"}[orientation]
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    view = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceNode", name)
    view.SetLayoutName(name)
    view.SetOrientation(orientation)
    view.SetDimensions(SIZE, SIZE, 1)
    view.SetFieldOfView(64, 64, 1)
    view.JumpSlice(13, 2, 6)
    logic.SetSliceNode(view)
    composite = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetLayoutName(name)
    composite.SetBackgroundVolumeID(volume.GetID())
    logic.SetSliceCompositeNode(composite)
    logic.UpdatePipeline()
    connection = logic.GetImageDataConnection()
    connection.GetProducer().Update()
    image = connection.GetProducer().GetOutputDataObject(connection.GetIndex())
    width, height, _ = image.GetDimensions()
    picture = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[..., :3].copy()
    toXy = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(view.GetXYToRAS(), toXy)
    matrix = view.GetSliceToRAS()
    plane = vtk.vtkPlane()
    plane.SetOrigin(*(matrix.GetElement(row, 3) for row in range(3)))
    plane.SetNormal(*(matrix.GetElement(row, 2) for row in range(3)))
    segmentation = node.GetSegmentation()
    for number in range(segmentation.GetNumberOfSegments()):
        surface = vtk.vtkPolyData()
        node.GetClosedSurfaceRepresentation(segmentation.GetNthSegmentID(number), surface)
        cutter = vtk.vtkCutter()
        cutter.SetCutFunction(plane)
        cutter.SetInputData(surface)
        cutter.Update()
        points = cutter.GetOutput().GetPoints()
        color = [round(255 * part) for part in segmentation.GetNthSegment(number).GetColor()]
        for point in vtk_to_numpy(points.GetData()) if points else ():
            x, y = toXy.MultiplyPoint([*(float(value) for value in point), 1.0])[:2]
            if 0 <= round(x) < width and 0 <= round(y) < height:
                picture[round(y), round(x)] = color
    return picture[::-1]


def _surfaces(node) -> np.ndarray:
    """(SIZE, SIZE, 3): the closed surfaces from in front, off-screen."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    renderer, window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    if not window.SupportsOpenGL():
        pytest.skip("needs an off-screen graphics library, such as Debian's libegl1 and libgl1-mesa-dri")
    window.SetMultiSamples(0)
    window.SetSize(SIZE, SIZE)
    window.AddRenderer(renderer)
    segmentation = node.GetSegmentation()
    for number in range(segmentation.GetNumberOfSegments()):
        surface = vtk.vtkPolyData()
        node.GetClosedSurfaceRepresentation(segmentation.GetNthSegmentID(number), surface)
        mapper, actor = vtk.vtkPolyDataMapper(), vtk.vtkActor()
        mapper.SetInputData(surface)
        mapper.ScalarVisibilityOff()
        actor.SetMapper(mapper)
        actor.GetProperty().SetColor(*segmentation.GetNthSegment(number).GetColor())
        actor.GetProperty().SetOpacity(0.5 if number else 1.0)
        renderer.AddActor(actor)
    camera = renderer.GetActiveCamera()
    camera.SetPosition(13, 90, 6)
    camera.SetFocalPoint(13, 2, 6)
    camera.SetViewUp(0, 0, 1)
    renderer.ResetCameraClippingRange()
    window.Render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(window)
    grabber.ReadFrontBufferOff()
    grabber.Update()
    image = grabber.GetOutput()
    width, height, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()


@pytest.mark.parametrize("orientation", ["Axial", "Coronal", "Sagittal"])
def test_slices_show_the_outlines_of_the_segments(slicer, scene, golden, orientation) -> None:
    volume, node = scene
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 800)
    picture = _slice(slicer, volume, node, orientation)
    colored = np.ptp(picture.astype(int), axis=-1) > 20
    assert colored.sum() > 100
    middle = np.argwhere(colored).mean(axis=0)
    assert np.abs(middle - SIZE / 2).max() < 0.4 * SIZE
    golden(picture, orientation.lower())


def test_surfaces_are_rendered_in_3d(slicer, scene, golden) -> None:
    picture = _surfaces(scene[1])
    assert np.ptp(picture.astype(int), axis=-1).max() > 40
    golden(picture, "surfaces")
