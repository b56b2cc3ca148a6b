"""Nodes of the scene that the companion made: each bears a mark, by which it is found again in a loaded scene too."""

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import InputError

SCALARS, LABELS = 0, 1
"""What a file of a volume holds, in the numbers of Slicer's volumes logic."""


def marked(kind, mark, value=None):
    """The nodes of a class, such as "vtkMRMLTableNode", that bear a mark; with `value`, those with that value alone."""
    nodes = [(node, node.GetAttribute(mark)) for node in slicer.util.getNodesByClass(kind)]
    return [node for node, found in nodes if found and value in (None, found)]


def firstMarked(kind, mark, value=None):
    """The first of them; None if there is none."""
    return next(iter(marked(kind, mark, value)), None)


def made(kind, name, mark, value):
    """A new node that bears a mark."""
    node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
    node.SetAttribute(mark, value)
    return node


def loaded(path, name, kind=SCALARS):
    """The volume of a file that will not stay.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    node = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, kind)
    if node is None:
        raise InputError(_("A volume could not be loaded"), source=path)
    node.SetName(name)  # Slicer makes it unlike any name it ever gave
    storage = node.GetStorageNode()
    node.SetAndObserveStorageNodeID(None)
    if storage is not None:
        slicer.mrmlScene.RemoveNode(storage)
    return node


def remove(node):
    """Take a node out of the scene, with what only displays it."""
    count = node.GetNumberOfDisplayNodes() if hasattr(node, "GetNumberOfDisplayNodes") else 0
    displays = [node.GetNthDisplayNode(number) for number in range(count)]
    for one in (node, *displays):
        if one is not None:
            slicer.mrmlScene.RemoveNode(one)
