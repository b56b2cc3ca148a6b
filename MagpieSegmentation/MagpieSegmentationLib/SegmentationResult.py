"""What a segmentation gave."""

import json
from dataclasses import dataclass

_ATTRIBUTE = "MAGPIE.report"


@dataclass(frozen=True)
class SegmentationResult:
    """A segmentation in the scene, with what is to be said of it.

    Attributes
    ----------
    segmentationNode
        The segmentation.
    report
        The report as written by magpie_core: volumes in ml, model, sequences, warnings.
    """

    segmentationNode: object
    report: dict

    @property
    def volumesMl(self):
        """Millilitres by region: WT, TC, ET, NCR, ED."""
        return self.report["volumes_ml"]

    @property
    def warnings(self):
        """What the user should know, in plain words."""
        return self.report["warnings"]

    def attach(self):
        """Keep the report with the node, so that it is saved with the scene."""
        self.segmentationNode.SetAttribute(_ATTRIBUTE, json.dumps(self.report))
        return self

    @classmethod
    def of(cls, segmentationNode):
        """The result that a node of the scene carries; None if it was not made by MAGPIE."""
        text = segmentationNode.GetAttribute(_ATTRIBUTE) if segmentationNode is not None else None
        return cls(segmentationNode, json.loads(text)) if text else None
