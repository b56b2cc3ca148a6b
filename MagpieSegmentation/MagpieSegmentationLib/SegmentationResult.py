"""The result of a segmentation."""

import json
from dataclasses import dataclass

import slicer

from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES

_ATTRIBUTE = "MAGPIE.report"
_REVIEWED = "MAGPIE.reviewed"
_PROPOSAL = "MAGPIE.proposal"
_RATING = "MAGPIE.rating"
_VOLUME = "MAGPIE.volume."


def regionNames():
    """Return the display names of regions and tissues, in the order of the result table."""
    return {part.value: part.label for part in (Region.WT, Region.TC, Region.ET, Tissue.NCR, Tissue.ED)}


def showOnly(shown=None):
    """Hide all results but one: segmentations of several studies in one view cannot be told apart."""
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        if node.GetAttribute(_ATTRIBUTE) and bool(node.GetDisplayVisibility()) != (node is shown):
            node.SetDisplayVisibility(node is shown)


@dataclass(frozen=True)
class SegmentationResult:
    """A segmentation node and its report.

    Attributes
    ----------
    segmentationNode
        The segmentation.
    report
        The report of magpie_core: volumes in ml, model, modalities, warnings.
    preprocessingPicture
        Path of a picture of the co-registration and the brain mask, deleted with the panel; empty if the images needed
        neither.
    """

    segmentationNode: object
    report: dict
    preprocessingPicture: str = ""

    @property
    def volumesMl(self):
        """Milliliters by region: WT, TC, ET, NCR, ED."""
        return self.report["volumes_ml"]

    @property
    def warnings(self):
        """Warnings for the user."""
        return self.report["warnings"]

    def attach(self):
        """Store the report in the node, so that it is saved with the scene."""
        self.segmentationNode.SetAttribute(_ATTRIBUTE, json.dumps(self.report))
        return self

    def keepProposal(self):
        """Keep a copy of the segmentation in a hidden node, to compare with it after corrections."""
        node = self.segmentationNode
        copy = slicer.vtkMRMLSegmentationNode()
        copy.SetName(f"{node.GetName()} (proposal)")
        copy.SetHideFromEditors(True)
        copy.GetSegmentation().DeepCopy(node.GetSegmentation())
        copy.SetNodeReferenceID(
            node.GetReferenceImageGeometryReferenceRole(),
            node.GetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole()),
        )
        self._hide(copy)
        copy = slicer.mrmlScene.AddNode(copy)
        copy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
        node.SetNodeReferenceID(_PROPOSAL, copy.GetID())

    def hideProposal(self):
        """Hide the proposal again; without a display node, the next export or scene would show it."""
        if self.proposalNode is not None:
            self._hide(self.proposalNode)

    @staticmethod
    def _hide(node):
        display = node.GetDisplayNode()
        if display is None:
            display = slicer.vtkMRMLSegmentationDisplayNode()
            display.SetVisibility(False)
            display = slicer.mrmlScene.AddNode(display)
            node.SetAndObserveDisplayNodeID(display.GetID())
        display.SetVisibility(False)

    def keepVolumes(self, volumes):
        """Store the volume nodes (by modality) that were segmented."""
        for modality, node in volumes.items():
            self.segmentationNode.SetNodeReferenceID(_VOLUME + modality, node.GetID())

    def volumes(self):
        """Return the volume nodes that were segmented, by modality, as far as they are in the scene."""
        node = self.segmentationNode
        found = {modality: node.GetNodeReference(_VOLUME + modality) for modality in GLIOMA_MODALITY_NAMES}
        return {modality: volume for modality, volume in found.items() if volume is not None}

    @property
    def proposalNode(self):
        """The segmentation that the model proposed; None if it is not in the scene."""
        return self.segmentationNode.GetNodeReference(_PROPOSAL)

    @property
    def referenceNode(self):
        """The volume on whose grid the segmentation lies."""
        node = self.segmentationNode
        return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())

    @property
    def reviewed(self):
        """Reviewer and time of the review; empty if there was none."""
        return self.segmentationNode.GetAttribute(_REVIEWED) or ""

    def setReviewed(self, text):
        """Store the reviewer and the time; an empty text removes them."""
        self.segmentationNode.SetAttribute(_REVIEWED, text or None)

    @property
    def rating(self):
        """Rating of the proposal, 1 to 5; None if it is not rated."""
        text = self.segmentationNode.GetAttribute(_RATING)
        return int(text) if text else None

    def setRating(self, rating):
        """Store the rating of the proposal."""
        self.segmentationNode.SetAttribute(_RATING, str(rating))

    @classmethod
    def ofVolumes(cls, volumes):
        """Return the newest result of these volume nodes, by modality; None if they were not segmented."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        results = [cls.of(node) for node in nodes if node.GetAttribute(_ATTRIBUTE)]
        return next((result for result in reversed(results) if result.volumes() == volumes), None)

    @classmethod
    def of(cls, segmentationNode):
        """Return the result that is stored in a segmentation node; None if MAGPIE did not make it."""
        text = segmentationNode.GetAttribute(_ATTRIBUTE) if segmentationNode is not None else None
        return cls(segmentationNode, json.loads(text)) if text else None
