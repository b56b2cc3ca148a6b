"""Assignment of volumes to modalities."""

from dataclasses import dataclass, field
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES, Modality
from magpie_core.io.file_names import read_name
from magpie_core.series.acquisition import agent_stated
from magpie_core.series.description import read_description
from magpie_core.series.facts import SeriesFacts


@dataclass
class ModalityAssignment:
    """Volumes by modality, and the modalities with more than one candidate.

    Attributes
    ----------
    volumes
        Modality -> volume node, if exactly one volume matches.
    undecided
        Modality -> volume nodes, if several match: the user has to choose.
    """

    volumes: dict = field(default_factory=dict)
    undecided: dict = field(default_factory=dict)

    @classmethod
    def byName(cls, volumeNodes):
        """Assign volume nodes by their names, else by their DICOM descriptions, with the rules for file names."""
        candidates = {modality: [] for modality in GLIOMA_MODALITY_NAMES}
        for node in volumeNodes:
            modality = read_name(Path(node.GetName() or "")).modality
            if modality is None or cls._hasContrast(node):
                described = read_description(cls._description(node))
                modality = described.modality or (None if described.kind else modality)
                if modality is Modality.T1 and described.contrast is None and cls._hasContrast(node):
                    modality = Modality.T1CE
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
        """Return the DICOM series description and protocol name; empty for a volume that is not from DICOM."""
        return " ".join(filter(None, (cls._tag(node, tag) for tag in ("0008,103e", "0018,1030"))))

    @classmethod
    def _hasContrast(cls, node):
        """Whether the DICOM header names a contrast agent."""
        return bool(agent_stated(SeriesFacts(agents=(cls._tag(node, "0018,0010"),))))

    @staticmethod
    def _tag(node, tag):
        instances = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
        database = getattr(slicer, "dicomDatabase", None)
        if not instances or database is None:
            return ""
        return database.instanceValue(instances[0], tag) or ""

    @staticmethod
    def namesOf(modalities):
        """Return the display names of modalities for a sentence: "T1 and as T2"."""
        return _(" and as ").join(Modality(modality).label for modality in modalities)

    @staticmethod
    def chosenTwice(volumes):
        """Return the volume nodes that are selected as more than one modality: list of (node, modalities)."""
        chosen = {}
        for modality in GLIOMA_MODALITY_NAMES:
            node = volumes.get(modality)
            if node is not None:
                chosen.setdefault(node.GetID(), (node, []))[1].append(modality)
        return [(node, modalities) for node, modalities in chosen.values() if len(modalities) > 1]
