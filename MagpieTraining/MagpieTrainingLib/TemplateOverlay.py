"""The average head over the study, in the scene."""

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .SceneNodes import firstMarked, loaded, made, marked, remove

_MARK = "MAGPIE.template"


class TemplateOverlay:
    """The template's volume under a linear transform that lays it on the study.

    The template is moved, not the study: volumes and segmentation stay where they are, so that whatever is written or
    corrected meanwhile is right. Nothing is resampled.
    """

    def load(self, path, matrix):
        """Put the template into the scene, in place of the last one; returns its volume.

        Parameters
        ----------
        path
            The template's file.
        matrix
            (4, 4), place in the study's world to place in the template's, RAS mm.

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        self.remove()
        volume = loaded(path, _("Template (ICBM 152)"))
        volume.SetAttribute(_MARK, "volume")
        transform = made("vtkMRMLLinearTransformNode", _("Template to study"), _MARK, "transform")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.linalg.inv(np.array(matrix))))
        volume.SetAndObserveTransformNodeID(transform.GetID())
        return volume

    def volume(self):
        """The template's volume node; None if it is not in the scene."""
        return firstMarked("vtkMRMLScalarVolumeNode", _MARK)

    def placeOf(self, ras):
        """Coordinates in the template (MNI, mm) of a place in the world; None if there is no template."""
        transform = firstMarked("vtkMRMLLinearTransformNode", _MARK)
        if transform is None:
            return None
        matrix = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToParent(matrix)
        toStudy = slicer.util.arrayFromVTKMatrix(matrix)
        return tuple(float(value) for value in np.linalg.solve(toStudy, [*ras, 1.0])[:3])

    def remove(self):
        """Take it out of the scene."""
        for kind in ("vtkMRMLScalarVolumeNode", "vtkMRMLLinearTransformNode"):
            for node in marked(kind, _MARK):
                remove(node)
