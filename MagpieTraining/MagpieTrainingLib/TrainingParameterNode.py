"""The state of the panel that is saved with the scene."""

import slicer
from slicer.parameterNodeWrapper import parameterNodeWrapper


@parameterNodeWrapper
class TrainingParameterNode:
    """
    cohortFolder: where the corrected cases are kept
    result: the segmentation whose experts are looked at
    """

    cohortFolder: str = ""
    result: slicer.vtkMRMLSegmentationNode
