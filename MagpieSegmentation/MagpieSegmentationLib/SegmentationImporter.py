"""A label map file as a segmentation node."""

import json
from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import Tissue

from .CorePackage import sharedResource

PALETTES = {"clinical": "Colors/MagpieGlioma.csv", "paper": "Colors/MagpieGliomaPaper.csv"}

_TERMINOLOGY_FILE = "Terminology/MagpieGlioma.term.json"
_TERMINOLOGY = "Glioma segmentation - MAGPIE"
_ANATOMY = "Anatomic codes - DICOM master list"
_OPACITIES_3D = {Tissue.ED: 0.25, Tissue.ET: 0.6, Tissue.NCR: 1.0}
_PALETTE_ATTRIBUTE = "MAGPIE.palette"


class SegmentationImporter:
    """Loads a segmentation by world coordinates, with names, colors and terminology of its labels.

    Parameters
    ----------
    palette
        "clinical" (the colors of Slicer for these tissues) or "paper" (red, green and blue).
    """

    def __init__(self, palette="clinical"):
        self._palette = palette

    def load(self, path, referenceNode, name):
        """Load a label map as a segmentation node beside `referenceNode`.

        Parameters
        ----------
        path
            NIfTI file, with its label schema beside it.
        referenceNode
            The segmented volume: the new node gets its parent transform and its geometry.
        name
            Name of the new node.

        Raises
        ------
        InputError
            If the file cannot be read, or if its label schema is not that of the color table.
        """
        colors = self.colorTable()
        self._checkSchema(Path(path), colors)
        scene = slicer.mrmlScene
        labelmap = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), name, 1)
        if labelmap is None:
            raise InputError(_("The result could not be loaded"), source=str(path))
        helpers = [labelmap.GetStorageNode(), labelmap.GetDisplayNode()]
        segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        try:
            labelmap.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
            # The label map lies in the world, the segmentation beside its volume: import converts between them.
            segmentation.SetAndObserveTransformNodeID(referenceNode.GetTransformNodeID())
            segmentation.SetReferenceImageGeometryParameterFromVolumeNode(referenceNode)
            if not slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labelmap, segmentation):
                raise InputError(_("The result could not be imported as a segmentation"), source=str(path))
        except Exception:
            scene.RemoveNode(segmentation)
            raise
        finally:
            for node in [labelmap, *helpers]:
                if scene.IsNodePresent(node):  # newer versions of Slicer remove a volume's helpers with it
                    scene.RemoveNode(node)
        self._describeSegments(segmentation.GetSegmentation(), colors)
        segmentation.CreateDefaultDisplayNodes()
        self._showCoreInsideEdema(segmentation)
        placeBeside(segmentation, referenceNode)
        return segmentation

    def colorTable(self):
        """Return the color table of the labels; it is added to the scene when first needed.

        It stays there for exports: a label map exported with it keeps its integers.
        """
        for node in slicer.util.getNodesByClass("vtkMRMLColorTableNode"):
            if node.GetAttribute(_PALETTE_ATTRIBUTE) == self._palette:
                return node
        path = sharedResource(PALETTES[self._palette])
        source = slicer.vtkMRMLColorTableNode()
        storage = slicer.vtkMRMLColorTableStorageNode()
        storage.SetFileName(str(path))
        if not storage.ReadData(source):
            raise InputError(
                _("The color table is missing"), remedy=_("Install the extension MAGPIE again"), source=str(path)
            )
        table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", _("MAGPIE glioma"))
        table.SetTypeToUser()
        table.SetNumberOfColors(source.GetNumberOfColors())
        for label in range(source.GetNumberOfColors()):
            color = [0.0] * 4
            source.GetColor(label, color)
            table.SetColor(label, source.GetColorName(label), *color)
            if label > 0:
                table.SetTerminologyFromString(label, source.GetTerminologyAsString(label))
        table.SetAttribute(_PALETTE_ATTRIBUTE, self._palette)
        return table

    @staticmethod
    def codeOf(segment):
        """Return the coding scheme and code of a segment; None if it has no terminology."""
        text = vtk.reference("")
        segment.GetTag(segment.GetTerminologyEntryTagName(), text)
        parts = str(text).split("~")
        return tuple(parts[2].split("^")[:2]) if len(parts) > 2 else None

    @staticmethod
    def loadTerminology():
        """Load the terminology of MAGPIE into Slicer's terminology selector."""
        terminologies = slicer.modules.terminologies.logic()
        if not terminologies.IsTerminologyContextLoaded(_TERMINOLOGY):
            terminologies.LoadTerminologyFromFile(str(sharedResource(_TERMINOLOGY_FILE)))

    @staticmethod
    def _checkSchema(path, colors):
        """Check that the label schema beside the file is that of the color table."""
        sidecar = path.with_name(path.name.split(".nii")[0] + ".json")
        try:
            labels = json.loads(sidecar.read_text(encoding="utf-8"))["label_schema"]["labels"]
            codes = {item["value"]: (item["code"]["scheme"], item["code"]["value"]) for item in labels}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                _("The label schema of the result cannot be read"), cause=str(error), source=str(sidecar)
            ) from error
        for label, code in codes.items():
            kind = colors.GetTerminologyType(label) if 0 < label < colors.GetNumberOfColors() else None
            if kind is None or (kind.GetCodingSchemeDesignator(), kind.GetCodeValue()) != code:
                raise InputError(
                    _("The result has a label that this version of MAGPIE does not know"),
                    cause=_("label {label} means {code}").format(label=label, code=" ".join(code)),
                    remedy=_("Install the version of MAGPIE that the model was made for"),
                    source=str(path),
                )

    @staticmethod
    def _describeSegments(segmentation, colors):
        """Give every label a segment, if necessary an empty one, and its terminology."""
        for label in range(1, colors.GetNumberOfColors()):
            name = colors.GetColorName(label)
            segmentId = segmentation.GetSegmentIdBySegmentName(name)
            if not segmentId:
                color = [0.0] * 4
                colors.GetColor(label, color)
                segmentId = segmentation.AddEmptySegment("", name, color[:3])
            parts = colors.GetTerminologyAsString(label).split("~")[:7]
            parts[0], parts[4] = _TERMINOLOGY, _ANATOMY
            segment = segmentation.GetSegment(segmentId)
            segment.SetTag(segment.GetTerminologyEntryTagName(), "~".join(parts))

    @classmethod
    def _showCoreInsideEdema(cls, segmentation):
        """Make what lies outside translucent in 3-D."""
        codes = {tissue.code[:2]: opacity for tissue, opacity in _OPACITIES_3D.items()}
        segments, display = segmentation.GetSegmentation(), segmentation.GetDisplayNode()
        for index in range(segments.GetNumberOfSegments()):
            opacity = codes.get(cls.codeOf(segments.GetNthSegment(index)), 1.0)
            display.SetSegmentOpacity3D(segments.GetNthSegmentID(index), opacity)


def placeBeside(node, other):
    """Move a node to the place of another one in the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item, reference = (hierarchy.GetItemByDataNode(one) for one in (node, other))
    if item and reference:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(reference))
