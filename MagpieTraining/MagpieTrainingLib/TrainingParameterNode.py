"""The state of the panel that is saved with the scene."""

import slicer
from slicer.parameterNodeWrapper import parameterNodeWrapper


@parameterNodeWrapper
class TrainingParameterNode:
    """
    result: the segmentation whose expert maps are shown
    """

    result: slicer.vtkMRMLSegmentationNode
