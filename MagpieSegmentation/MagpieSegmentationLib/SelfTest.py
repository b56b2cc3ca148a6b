"""Tests on the scene that run wherever Slicer does: "Reload and Test", ctest, and slicer-core without windows."""

import json
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk

from magpie_core.errors import InputError

from .ModalityAssignment import ModalityAssignment
from .SegmentationImporter import SegmentationImporter
from .VolumeExporter import VolumeExporter

_LABELS = {1: ("SCT", "6574001"), 2: ("SCT", "79654002"), 3: ("NCIt", "C113842")}


class SelfTest(unittest.TestCase):
    """Whether volumes leave Slicer and results return to the same place, and keep their meaning."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)
        folder = tempfile.TemporaryDirectory(prefix="magpie-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_volumesAreFoundByName(self):
        nodes = [self.addVolume(name) for name in ("3 AX T1 POST", "AX T1", "T2 FLAIR", "localizer")]
        assignment = ModalityAssignment.byName(nodes)
        names = {modality: node.GetName() for modality, node in assignment.volumes.items()}
        self.assertEqual(names, {"T1": "AX T1", "T1CE": "3 AX T1 POST", "FLAIR": "T2 FLAIR"})

    def test_aResultReturnsToThePlaceOfItsVolume(self):
        for name, ijkToRas in self.placements().items():
            with self.subTest(name):
                volume = self.addVolume("T1ce", ijkToRas)
                segmentation = self.exportAndImport(volume)
                for label, center in self.centersIn(volume).items():
                    found = self.centerOfSegment(segmentation, label)
                    np.testing.assert_allclose(found, center, atol=0.01)

    def test_aResultMovesWithTheTransformOfItsVolume(self):
        volume = self.addVolume("T1ce")
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        volume.SetAndObserveTransformNodeID(transform.GetID())
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(self.rotation(0.4, [5, -3, 8])))
        segmentation = self.exportAndImport(volume)
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(self.rotation(-0.2, [0, 9, 1])))
        for label, center in self.centersIn(volume).items():
            np.testing.assert_allclose(self.centerOfSegment(segmentation, label), center, atol=0.01)

    def test_aShearedVolumeIsRefused(self):
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
        """A turn about the S axis, and a shift in mm."""
        matrix = np.eye(4)
        matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        matrix[:3, 3] = shift
        return matrix

    @classmethod
    def placements(cls):
        """Voxel index to RAS: as most files, left-handed, oblique."""
        lps = np.diag([-1.0, -1.2, 2.0, 1.0])
        lps[:3, 3] = [30, 40, -20]
        return {
            "LPS": lps,
            "left-handed": lps @ np.diag([-1.0, 1.0, 1.0, 1.0]),
            "oblique": cls.rotation(0.3, [0, 0, 0]) @ lps,
        }

    @staticmethod
    def addVolume(name, ijkToRas=None):
        """A volume with three blocks, of values 1, 2 and 3, in zeros."""
        array = np.zeros((12, 14, 16), np.uint8)
        array[1:4, 2:5, 3:6] = 1
        array[5:9, 2:5, 3:9] = 2
        array[5:9, 8:12, 9:14] = 3
        matrix = slicer.util.vtkMatrixFromArray(np.eye(4) if ijkToRas is None else ijkToRas)
        return slicer.util.addVolumeFromArray(array, matrix, name)

    def exportAndImport(self, volume):
        """The volume's own blocks, as if they were a result that the worker made of it."""
        path = self.folder / f"{volume.GetID()}.nii"
        VolumeExporter().export(volume, path)
        labels = [{"value": v, "code": {"scheme": s, "value": c}} for v, (s, c) in _LABELS.items()]
        path.with_suffix(".json").write_text(
            json.dumps({"label_schema": {"labels": labels}}), encoding="utf-8"
        )
        return SegmentationImporter().load(path, volume, "result")

    @staticmethod
    def centersIn(volume):
        """Center of each block of a volume, RAS mm in the world, by label."""
        ijkToWorld = slicer.util.arrayFromVTKMatrix(VolumeExporter.ijkToWorld(volume))
        array = slicer.util.arrayFromVolume(volume)
        centers = {}
        for label in _LABELS:
            k, j, i = np.argwhere(array == label).mean(0)
            centers[label] = (ijkToWorld @ [i, j, k, 1])[:3]
        return centers

    @staticmethod
    def centerOfSegment(segmentation, label):
        """Center of the segment with the code of a label, RAS mm in the world."""
        segments = segmentation.GetSegmentation()
        for index in range(segments.GetNumberOfSegments()):
            tag = vtk.reference("")
            segment = segments.GetNthSegment(index)
            segment.GetTag(segment.GetTerminologyEntryTagName(), tag)
            if str(tag).split("~")[2].split("^")[:2] == list(_LABELS[label]):
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
