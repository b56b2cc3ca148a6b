"""What a reviewer may have overlooked in a corrected segmentation."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from magpie_core.imaging.background import content_mask

from .SegmentationExporter import SegmentationExporter
from .VolumeExporter import VolumeExporter


class ReviewCheck:
    """Finds segments without a voxel, and strokes outside of the brain.

    Parameters
    ----------
    result
        SegmentationResult, as corrected.

    Attributes
    ----------
    remarks
        Sentences about what was found; empty if nothing was.
    place
        A voxel that the model did not label, where the image is empty, RAS mm in the world; None if there is none.

    Raises
    ------
    InputError
        As `SegmentationExporter.labels`.
    """

    def __init__(self, result):
        self.remarks = []
        self.place = None
        self._findEmptySegments(result)
        if result.referenceNode is not None:
            self._findStrokesOutside(result)

    def _findEmptySegments(self, result):
        segmentation = result.segmentationNode.GetSegmentation()
        for index in range(segmentation.GetNumberOfSegments()):
            mask = slicer.util.arrayFromSegmentBinaryLabelmap(
                result.segmentationNode, segmentation.GetNthSegmentID(index), result.referenceNode
            )
            if mask is None or not mask.any():
                name = segmentation.GetNthSegment(index).GetName()
                self.remarks.append(_('The segment "{name}" is empty.').format(name=name))

    def _findStrokesOutside(self, result):
        reference = result.referenceNode
        labels = SegmentationExporter().labels(result.segmentationNode, reference)
        outside = (labels > 0) & ~content_mask(slicer.util.arrayFromVolume(reference))
        if result.proposalNode is not None:
            outside &= SegmentationExporter().labels(result.proposalNode, reference) == 0
        if not outside.any():
            return
        voxelMl = float(np.prod(reference.GetSpacing())) / 1000
        self.remarks.append(
            _("{ml} ml were painted outside of the brain; the slices show a place.").format(
                ml=f"{max(0.01, np.count_nonzero(outside) * voxelMl):.2f}"
            )
        )
        largest = np.count_nonzero(outside, axis=(1, 2)).argmax()
        j, i = np.argwhere(outside[largest]).mean(0).round()
        self.place = VolumeExporter.ijkToWorld(reference).MultiplyPoint([i, j, float(largest), 1.0])[:3]
