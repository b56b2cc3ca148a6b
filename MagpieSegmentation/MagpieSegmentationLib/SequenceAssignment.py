"""Which volume is which sequence."""

from dataclasses import dataclass, field
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.imaging.modality import Sequence
from magpie_core.io.file_names import read_description, read_name

SEQUENCES = ("T1", "T1CE", "T2", "FLAIR")


def sequenceWords():
    """What the panels call each sequence."""
    return {"T1": _("T1"), "T1CE": _("T1 with contrast"), "T2": _("T2"), "FLAIR": _("FLAIR")}


@dataclass
class SequenceAssignment:
    """Volumes by sequence, and the sequences that more than one volume could be.

    Attributes
    ----------
    volumes
        Sequence -> volume node, where exactly one volume fits.
    undecided
        Sequence -> volume nodes, where several fit: the user has to choose.
    """

    volumes: dict = field(default_factory=dict)
    undecided: dict = field(default_factory=dict)

    @classmethod
    def byName(cls, volumeNodes):
        """Assign volume nodes by their names, else by their DICOM descriptions; the rules are those of files."""
        candidates = {sequence: [] for sequence in SEQUENCES}
        for node in volumeNodes:
            sequence = read_name(Path(node.GetName() or "")).sequence
            if sequence is None or cls._hasContrast(node):
                described = read_description(cls._description(node)) or sequence
                sequence = Sequence.T1CE if described is Sequence.T1 and cls._hasContrast(node) else described
            if sequence is not None and sequence.value in candidates:
                candidates[sequence.value].append(node)
        assignment = cls()
        for sequence, nodes in candidates.items():
            if len(nodes) == 1:
                assignment.volumes[sequence] = nodes[0]
            elif nodes:
                assignment.undecided[sequence] = nodes
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
    def spoken(sequences):
        """Sequences as a panel names them: "T1 and as T2"."""
        return _(" and as ").join(sequenceWords()[sequence] for sequence in sequences)

    @staticmethod
    def chosenTwice(volumes):
        """The volume nodes that were chosen for more than one sequence: list of (node, sequences)."""
        chosen = {}
        for sequence in SEQUENCES:
            node = volumes.get(sequence)
            if node is not None:
                chosen.setdefault(node.GetID(), (node, []))[1].append(sequence)
        return [(node, sequences) for node, sequences in chosen.values() if len(sequences) > 1]
