"""The brain template aligned with the study."""

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .SceneNodes import createNode, findNode, findNodes, readVolume, removeNode, showVolume

_MARK = "MAGPIE.template"
_TRANSFORM = "vtkMRMLLinearTransformNode"


class TemplateOverlay:
    """The template volume under a linear transform to the study.

    The template is transformed, not the study, so that exports and corrections of the study are not affected.
    """

    def load(self, path, matrix):
        """Load the template, in place of an earlier one; returns its volume node.

        Parameters
        ----------
        path
            Path of the template.
        matrix
            (4, 4), study to template coordinates, RAS mm.

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        volume = showVolume(readVolume(path), _("Template (ICBM 152)"), _MARK, "volume")
        transform = findNode(_TRANSFORM, _MARK) or createNode(_TRANSFORM, _("Template to study"), _MARK, "transform")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.linalg.inv(np.array(matrix))))
        volume.SetAndObserveTransformNodeID(transform.GetID())
        return volume

    def volume(self):
        """Return the volume node of the template; None if it is not in the scene."""
        return findNode("vtkMRMLScalarVolumeNode", _MARK)

    def nodes(self):
        """Return the volume and the transform of the template; empty if it is not in the scene."""
        kinds = ("vtkMRMLScalarVolumeNode", _TRANSFORM)
        return [node for kind in kinds for node in findNodes(kind, _MARK)]

    def templateCoordinates(self, ras):
        """Return the template coordinates (MNI, mm) of a position in the scene; None without a template."""
        transform = findNode(_TRANSFORM, _MARK)
        if transform is None:
            return None
        matrix = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToParent(matrix)
        toStudy = slicer.util.arrayFromVTKMatrix(matrix)
        return tuple(float(value) for value in np.linalg.solve(toStudy, [*ras, 1.0])[:3])

    def remove(self):
        """Remove the template from the scene."""
        for node in self.nodes():
            removeNode(node)
