"""The state of the panel that is saved with the scene."""

import slicer
from slicer.parameterNodeWrapper import parameterNodeWrapper


@parameterNodeWrapper
class PanelParameterNode:
    """
    t1, t1ce, t2, flair: the volume of each modality
    result: the segmentation that was made of them last
    show3D: whether the tumor is shown in the 3-D view
    minutes: how long to teach
    """

    t1: slicer.vtkMRMLScalarVolumeNode
    t1ce: slicer.vtkMRMLScalarVolumeNode
    t2: slicer.vtkMRMLScalarVolumeNode
    flair: slicer.vtkMRMLScalarVolumeNode
    result: slicer.vtkMRMLSegmentationNode
    show3D: bool = False
    minutes: int = 90
