"""Tests of export and import, for "Reload and Test", ctest, and slicer-core without windows."""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import LABELS

from .ModalityAssignment import ModalityAssignment
from .SegmentationImporter import SegmentationImporter
from .VolumeExporter import VolumeExporter

_LABELS = {label: tissue.code[:2] for label, tissue in LABELS["magpie"].items()}


class SelfTest(unittest.TestCase):
    """Exported volumes and imported results have the same world coordinates and terminology."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)
        folder = tempfile.TemporaryDirectory(prefix="magpie-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_byNameAssignsVolumes(self):
        nodes = [self.addVolume(name) for name in ("3 AX T1 POST", "AX T1", "T2 FLAIR", "localizer")]
        assignment = ModalityAssignment.byName(nodes)
        names = {modality: node.GetName() for modality, node in assignment.volumes.items()}
        self.assertEqual(names, {"T1": "AX T1", "T1CE": "3 AX T1 POST", "FLAIR": "T2 FLAIR"})

    def test_loadPlacesResultOnItsVolume(self):
        for name, ijkToRas in self.placements().items():
            with self.subTest(name):
                volume = self.addVolume("T1ce", ijkToRas)
                segmentation = self.exportAndImport(volume)
                for label, center in self.centersIn(volume).items():
                    found = self.centerOfSegment(segmentation, label)
                    np.testing.assert_allclose(found, center, atol=0.01)

    def test_loadedResultFollowsTransformOfItsVolume(self):
        volume = self.addVolume("T1ce")
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        volume.SetAndObserveTransformNodeID(transform.GetID())
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(self.rotation(0.4, [5, -3, 8])))
        segmentation = self.exportAndImport(volume)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(self.rotation(-0.2, [0, 9, 1])))
        for label, center in self.centersIn(volume).items():
            np.testing.assert_allclose(self.centerOfSegment(segmentation, label), center, atol=0.01)

    def test_exportRejectsShearedVolume(self):
        sheared = np.eye(4)
        sheared[0, 1] = 0.2
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(sheared))
        volume = self.addVolume("T1ce")
        volume.SetAndObserveTransformNodeID(transform.GetID())
        with self.assertRaises(InputError):
            VolumeExporter().export(volume, self.folder / "T1CE.nii")

    @staticmethod
    def rotation(angle, shift):
        """Return a rotation about the S axis (radians) with a translation in mm."""
        matrix = np.eye(4)
        matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        matrix[:3, 3] = shift
        return matrix

    @classmethod
    def placements(cls):
        """Return voxel index to RAS for an LPS, a left-handed and an oblique grid."""
        lps = np.diag([-1.0, -1.2, 2.0, 1.0])
        lps[:3, 3] = [30, 40, -20]
        return {
            "LPS": lps,
            "left-handed": lps @ np.diag([-1.0, 1.0, 1.0, 1.0]),
            "oblique": cls.rotation(0.3, [0, 0, 0]) @ lps,
        }

    @staticmethod
    def addVolume(name, ijkToRas=None):
        """Add a volume with three blocks of values 1, 2 and 3 on background 0."""
        array = np.zeros((12, 14, 16), np.uint8)
        array[1:4, 2:5, 3:6] = 1
        array[5:9, 2:5, 3:9] = 2
        array[5:9, 8:12, 9:14] = 3
        matrix = slicer.util.vtkMatrixFromArray(np.eye(4) if ijkToRas is None else ijkToRas)
        return slicer.util.addVolumeFromArray(array, matrix, name)

    def exportAndImport(self, volume):
        """Export a volume and import its blocks as if they were a segmentation of it."""
        path = self.folder / f"{volume.GetID()}.nii"
        VolumeExporter().export(volume, path)
        labels = [{"value": v, "code": {"scheme": s, "value": c}} for v, (s, c) in _LABELS.items()]
        path.with_suffix(".json").write_text(json.dumps({"label_schema": {"labels": labels}}), encoding="utf-8")
        return SegmentationImporter().load(path, volume, "result")

    @staticmethod
    def centersIn(volume):
        """Return the center of each block of a volume, RAS mm in the world, by label."""
        ijkToWorld = slicer.util.arrayFromVTKMatrix(VolumeExporter.ijkToWorld(volume))
        array = slicer.util.arrayFromVolume(volume)
        centers = {}
        for label in _LABELS:
            k, j, i = np.argwhere(array == label).mean(0)
            centers[label] = (ijkToWorld @ [i, j, k, 1])[:3]
        return centers

    @staticmethod
    def centerOfSegment(segmentation, label):
        """Return the center of the segment with the code of a label, RAS mm in the world."""
        segments = segmentation.GetSegmentation()
        for index in range(segments.GetNumberOfSegments()):
            if SegmentationImporter.codeOf(segments.GetNthSegment(index)) == _LABELS[label]:
                break
        else:
            raise AssertionError(f"no segment has the code of label {label}")
        image = slicer.vtkOrientedImageData()
        segmentation.GetBinaryLabelmapRepresentation(segments.GetNthSegmentID(index), image)
        ijkToWorld = vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(ijkToWorld)
        toWorld = vtk.vtkMatrix4x4()
        if segmentation.GetParentTransformNode() is not None:
            segmentation.GetParentTransformNode().GetMatrixTransformToWorld(toWorld)
        vtk.vtkMatrix4x4.Multiply4x4(toWorld, ijkToWorld, ijkToWorld)
        extent = image.GetExtent()
        shape = [extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in (2, 1, 0)]
        array = vtk.util.numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
        k, j, i = np.argwhere(array > 0).mean(0) + [extent[4], extent[2], extent[0]]
        return (slicer.util.arrayFromVTKMatrix(ijkToWorld) @ [i, j, k, 1])[:3]
