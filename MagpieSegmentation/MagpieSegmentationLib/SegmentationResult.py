"""What a segmentation gave."""

import json
from dataclasses import dataclass

import slicer
from slicer.i18n import tr as _

from .ModalityAssignment import MODALITIES

_ATTRIBUTE = "MAGPIE.report"
_REVIEWED = "MAGPIE.reviewed"
_PROPOSAL = "MAGPIE.proposal"
_RATING = "MAGPIE.rating"
_VOLUME = "MAGPIE.volume."


def regionWords():
    """What to call the regions and tissues, in the order of the table."""
    return {
        "WT": _("Whole tumor"),
        "TC": _("Tumor core"),
        "ET": _("Enhancing tumor"),
        "NCR": _("Necrotic or non-enhancing core"),
        "ED": _("Edema or FLAIR hyperintensity"),
    }


@dataclass(frozen=True)
class SegmentationResult:
    """A segmentation in the scene, with what is to be said of it.

    Attributes
    ----------
    segmentationNode
        The segmentation.
    report
        The report as written by magpie_core: volumes in ml, model, modalities, warnings.
    preparation
        Picture of how the images were aligned and the brain was found, a file that lives as long as the panel; empty
        if nothing had to be done.
    """

    segmentationNode: object
    report: dict
    preparation: str = ""

    @property
    def volumesMl(self):
        """Milliliters by region: WT, TC, ET, NCR, ED."""
        return self.report["volumes_ml"]

    @property
    def warnings(self):
        """What the user should know, in plain words."""
        return self.report["warnings"]

    def attach(self):
        """Keep the report with the node, so that it is saved with the scene."""
        self.segmentationNode.SetAttribute(_ATTRIBUTE, json.dumps(self.report))
        return self

    def keepProposal(self):
        """Keep what the model proposed in a hidden node of the scene, to tell later how much was changed."""
        node = self.segmentationNode
        copy = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{node.GetName()} (proposal)")
        copy.GetSegmentation().DeepCopy(node.GetSegmentation())
        copy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
        copy.SetNodeReferenceID(
            node.GetReferenceImageGeometryReferenceRole(),
            node.GetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole()),
        )
        copy.SetHideFromEditors(True)
        node.SetNodeReferenceID(_PROPOSAL, copy.GetID())

    def keepVolumes(self, volumes):
        """Note which volume (by modality) it was made of."""
        for modality, node in volumes.items():
            self.segmentationNode.SetNodeReferenceID(_VOLUME + modality, node.GetID())

    def volumes(self):
        """The volume nodes that it was made of, by modality; those that are still in the scene."""
        node = self.segmentationNode
        found = {modality: node.GetNodeReference(_VOLUME + modality) for modality in MODALITIES}
        return {modality: volume for modality, volume in found.items() if volume is not None}

    @property
    def proposalNode(self):
        """What the model proposed; None if it is not in the scene."""
        return self.segmentationNode.GetNodeReference(_PROPOSAL)

    @property
    def referenceNode(self):
        """The volume on whose grid the segmentation lies."""
        node = self.segmentationNode
        return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())

    @property
    def reviewed(self):
        """Who looked it through and when; empty if nobody did."""
        return self.segmentationNode.GetAttribute(_REVIEWED) or ""

    def setReviewed(self, text):
        """Note who looked it through; an empty text takes it back."""
        self.segmentationNode.SetAttribute(_REVIEWED, text or None)

    @property
    def rating(self):
        """How good the proposal was, 1 to 5; None if nobody said."""
        text = self.segmentationNode.GetAttribute(_RATING)
        return int(text) if text else None

    def setRating(self, rating):
        """Note how good the proposal was."""
        self.segmentationNode.SetAttribute(_RATING, str(rating))

    @classmethod
    def of(cls, segmentationNode):
        """The result that a node of the scene carries; None if it was not made by MAGPIE."""
        text = segmentationNode.GetAttribute(_ATTRIBUTE) if segmentationNode is not None else None
        return cls(segmentationNode, json.loads(text)) if text else None
