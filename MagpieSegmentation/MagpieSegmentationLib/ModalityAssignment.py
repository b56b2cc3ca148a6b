"""Which volume is which modality."""

from dataclasses import dataclass, field
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.imaging.modality import Modality
from magpie_core.io.file_names import read_description, read_name

MODALITIES = ("T1", "T1CE", "T2", "FLAIR")


def modalityWords():
    """What the panels call each modality."""
    return {"T1": _("T1"), "T1CE": _("T1 with contrast"), "T2": _("T2"), "FLAIR": _("FLAIR")}


@dataclass
class ModalityAssignment:
    """Volumes by modality, and the modalities that more than one volume could be.

    Attributes
    ----------
    volumes
        Modality -> volume node, where exactly one volume fits.
    undecided
        Modality -> volume nodes, where several fit: the user has to choose.
    """

    volumes: dict = field(default_factory=dict)
    undecided: dict = field(default_factory=dict)

    @classmethod
    def byName(cls, volumeNodes):
        """Assign volume nodes by their names, else by their DICOM descriptions; the rules are those of files."""
        candidates = {modality: [] for modality in MODALITIES}
        for node in volumeNodes:
            modality = read_name(Path(node.GetName() or "")).modality
            if modality is None or cls._hasContrast(node):
                described = read_description(cls._description(node)) or modality
                modality = Modality.T1CE if described is Modality.T1 and cls._hasContrast(node) else described
            if modality is not None and modality.value in candidates:
                candidates[modality.value].append(node)
        assignment = cls()
        for modality, nodes in candidates.items():
            if len(nodes) == 1:
                assignment.volumes[modality] = nodes[0]
            elif nodes:
                assignment.undecided[modality] = nodes
        return assignment

    @classmethod
    def _description(cls, node):
        """Series and protocol, as the scanner named them; empty for a volume that is not from DICOM."""
        words = (cls._tag(node, tag) for tag in ("0008,103e", "0018,1030"))
        return " ".join(word for word in words if word)

    @classmethod
    def _hasContrast(cls, node):
        """Whether DICOM names a contrast agent."""
        return cls._tag(node, "0018,0010").strip().lower() not in ("", "none", "no")

    @staticmethod
    def _tag(node, tag):
        instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
        database = getattr(slicer, "dicomDatabase", None)
        if not instances or database is None:
            return ""
        return database.instanceValue(instances[0], tag) or ""

    @staticmethod
    def spoken(modalities):
        """Modalities as a panel names them: "T1 and as T2"."""
        return _(" and as ").join(modalityWords()[modality] for modality in modalities)

    @staticmethod
    def chosenTwice(volumes):
        """The volume nodes that were chosen for more than one modality: list of (node, modalities)."""
        chosen = {}
        for modality in MODALITIES:
            node = volumes.get(modality)
            if node is not None:
                chosen.setdefault(node.GetID(), (node, []))[1].append(modality)
        return [(node, modalities) for node, modalities in chosen.values() if len(modalities) > 1]
