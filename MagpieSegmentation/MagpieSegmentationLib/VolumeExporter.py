"""Volume nodes as files for the worker."""

from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _

from magpie_core.errors import InputError, ResourceError

_LARGEST_SHEAR = 1e-3  # cosine between two axes of a grid


class VolumeExporter:
    """Writes volume nodes as NIfTI files with the same world coordinates, parent transforms included."""

    def exportStudy(self, volumes, folder):
        """Write each volume of a study into a folder; returns modality -> path.

        Raises
        ------
        InputError, ResourceError
            As `export`.
        """
        paths = {modality: str(Path(folder) / f"{modality}.nii") for modality in volumes}
        for modality, node in volumes.items():
            self.export(node, paths[modality])
        return paths

    def export(self, volumeNode, path):
        """Write a volume node to `path`; the node and the scene are not changed.

        Raises
        ------
        InputError
            If the node has no scalar 3-D image, or its world coordinates cannot be written to NIfTI.
        ResourceError
            If the file cannot be written.
        """
        self._checkImage(volumeNode)
        copy = slicer.vtkMRMLScalarVolumeNode()
        copy.SetAndObserveImageData(volumeNode.GetImageData())
        copy.SetIJKToRASMatrix(self.ijkToWorld(volumeNode))
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(path))
        storage.SetUseCompression(False)
        if not storage.WriteData(copy):
            raise ResourceError(
                _("The image could not be written for MAGPIE's background process"),
                cause=_("no space, or no permission, in {folder}").format(folder=Path(path).parent),
                remedy=_("Free disk space for temporary files"),
                source=volumeNode.GetName(),
            )

    @classmethod
    def ijkToWorld(cls, volumeNode):
        """Return voxel index to world (RAS, mm) with all parent transforms, as a vtkMatrix4x4.

        Raises
        ------
        InputError
            If a parent transform is not linear, or if the axes are not perpendicular.
        """
        matrix = vtk.vtkMatrix4x4()
        volumeNode.GetIJKToRASMatrix(matrix)
        transform = volumeNode.GetParentTransformNode()
        if transform is not None:
            if not transform.IsTransformToWorldLinear():
                raise InputError(
                    _("The volume is under a transform that is not linear"),
                    cause=_("transform {name}").format(name=transform.GetName()),
                    remedy=_("Harden the transform, or take the volume out of it"),
                    source=volumeNode.GetName(),
                )
            toWorld = vtk.vtkMatrix4x4()
            transform.GetMatrixTransformToWorld(toWorld)
            vtk.vtkMatrix4x4.Multiply4x4(toWorld, matrix, matrix)
        if cls._isSheared(matrix):
            raise InputError(
                _("The axes of the volume are not perpendicular"),
                cause=_("a sheared transform or a tilted acquisition"),
                remedy=_("Resample the volume (module Resample Scalar/Vector/DWI Volume), and choose the result"),
                source=volumeNode.GetName(),
            )
        return matrix

    @staticmethod
    def _checkImage(volumeNode):
        image = volumeNode.GetImageData()
        if image is None or image.GetNumberOfPoints() == 0:
            cause = _("it holds no image")
        elif volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
            cause = _("it is a label map")
        elif image.GetNumberOfScalarComponents() != 1:
            cause = _("it has {n} values in each voxel").format(n=image.GetNumberOfScalarComponents())
        elif min(image.GetDimensions()) < 2:
            cause = _("it is a single slice")
        else:
            return
        raise InputError(
            _("The volume cannot be segmented"),
            cause=cause,
            remedy=_("Choose an MR image with one value in each voxel"),
            source=volumeNode.GetName(),
        )

    @staticmethod
    def _isSheared(matrix):
        axes = [[matrix.GetElement(row, column) for row in range(3)] for column in range(3)]
        lengths = [sum(value * value for value in axis) ** 0.5 for axis in axes]
        if min(lengths) == 0:
            return True
        return any(
            abs(sum(a * b for a, b in zip(axes[i], axes[j], strict=True))) > _LARGEST_SHEAR * lengths[i] * lengths[j]
            for i, j in ((0, 1), (0, 2), (1, 2))
        )
