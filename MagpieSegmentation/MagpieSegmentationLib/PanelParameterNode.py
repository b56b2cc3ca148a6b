"""The state of the panel that is saved with the scene."""

from typing import Annotated

import slicer
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


@parameterNodeWrapper
class PanelParameterNode:
    """
    t1, t1ce, t2, flair: the volume of each modality
    result: the last segmentation of these volumes
    show3D: whether the segments are shown in the 3-D view
    outline: whether the slices show the segments as outlines only
    minutes: training time of a fine-tuning, in minutes
    """

    t1: slicer.vtkMRMLScalarVolumeNode
    t1ce: slicer.vtkMRMLScalarVolumeNode
    t2: slicer.vtkMRMLScalarVolumeNode
    flair: slicer.vtkMRMLScalarVolumeNode
    result: slicer.vtkMRMLSegmentationNode
    show3D: bool = False
    outline: bool = False
    minutes: Annotated[int, WithinRange(1, 1440)] = 90
