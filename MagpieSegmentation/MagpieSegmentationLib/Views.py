"""What the slice views and the 3-D views show: a study, its tumor, a place."""

import math

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy


def showStudy(volumeNode):
    """Show a volume in the slice views, fitted to them, and turn the 3-D views to its center, seen from the front."""
    slicer.util.setSliceViewerLayers(background=volumeNode, fit=True)
    manager = slicer.app.layoutManager()
    for index in range(manager.threeDViewCount if manager is not None else 0):
        manager.threeDWidget(index).threeDView().resetFocalPoint()  # the box too, which Slicer draws around the scene
    bounds = [0.0] * 6
    volumeNode.GetRASBounds(bounds)
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    center, radius = (low + high) / 2, np.linalg.norm(high - low) / 2
    for camera in slicer.util.getNodesByClass("vtkMRMLCameraNode"):
        distance = radius / math.sin(math.radians(camera.GetViewAngle() / 2))
        camera.SetFocalPoint(*center)
        camera.SetPosition(center[0], center[1] + distance, center[2])
        camera.SetViewUp(0, 0, 1)
        camera.ResetClippingRange()


def jumpTo(point):
    """Move all slices to a point, RAS mm in the world."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *point, slicer.vtkMRMLSliceNode.OffsetJumpSlice)


def middleOfTumor(segmentationNode):
    """Return the voxel in the middle of the largest axial section, RAS mm in the world; None without a tumor."""
    image = slicer.vtkOrientedImageData()
    if not segmentationNode.GenerateMergedLabelmapForAllSegments(image) or not image.GetNumberOfPoints():
        return None
    extent = image.GetExtent()
    shape = [extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in (2, 1, 0)]
    tumor = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape).transpose(2, 1, 0) > 0
    if not tumor.any():
        return None
    ijkToWorld = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(ijkToWorld)
    transform = segmentationNode.GetParentTransformNode()
    if transform is not None:
        toWorld = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(toWorld)
        vtk.vtkMatrix4x4.Multiply4x4(toWorld, ijkToWorld, ijkToWorld)
    axial = max(range(3), key=lambda axis: abs(ijkToWorld.GetElement(2, axis)))
    areas = tumor.sum(axis=tuple({0, 1, 2} - {axial}))
    section = np.argwhere(tumor.take([areas.argmax()], axis=axial))
    section[:, axial] = areas.argmax()
    middle = section[np.square(section - section.mean(0)).sum(1).argmin()] + extent[::2]
    return ijkToWorld.MultiplyPoint([*(float(index) for index in middle), 1.0])[:3]
