"""Which volume is which sequence."""

from dataclasses import dataclass, field
from pathlib import Path

from magpie_core.study.names import read_name

SEQUENCES = ("T1", "T1CE", "T2", "FLAIR")


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
        """Assign volume nodes by what their names say, by the same rules as files in a folder."""
        candidates = {sequence: [] for sequence in SEQUENCES}
        for node in volumeNodes:
            sequence = read_name(Path(node.GetName() or "")).sequence
            if sequence is not None and sequence.value in candidates:
                candidates[sequence.value].append(node)
        assignment = cls()
        for sequence, nodes in candidates.items():
            if len(nodes) == 1:
                assignment.volumes[sequence] = nodes[0]
            elif nodes:
                assignment.undecided[sequence] = nodes
        return assignment

    @staticmethod
    def chosenTwice(volumes):
        """The volume nodes that were chosen for more than one sequence: list of (node, sequences)."""
        chosen = {}
        for sequence in SEQUENCES:
            node = volumes.get(sequence)
            if node is not None:
                chosen.setdefault(node.GetID(), (node, []))[1].append(sequence)
        return [(node, sequences) for node, sequences in chosen.values() if len(sequences) > 1]
