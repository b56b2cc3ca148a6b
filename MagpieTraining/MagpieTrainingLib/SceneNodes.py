"""Nodes of the Training module in the scene, marked by an attribute, so that they are found in a loaded scene."""

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import InputError

SCALARS, LABELS = 0, 1
"""Load options of Slicer's volumes logic."""


def findNodes(className, attribute, value=None):
    """Return the nodes of a class, e.g. "vtkMRMLTableNode", with an attribute, or with `value` of the attribute."""
    nodes = [(node, node.GetAttribute(attribute)) for node in slicer.util.getNodesByClass(className)]
    return [node for node, found in nodes if found and value in (None, found)]


def findNode(className, attribute, value=None):
    """Return the first of the nodes of `findNodes`; None if there is none."""
    return next(iter(findNodes(className, attribute, value)), None)


def createNode(className, name, attribute, value):
    """Add a node with an attribute to the scene."""
    node = slicer.mrmlScene.AddNewNodeByClass(className, name)
    node.SetAttribute(attribute, value)
    return node


def loadVolume(path, name, option=SCALARS):
    """Load a volume of a temporary file, without a storage node.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    node = slicer.modules.volumes.logic().AddArchetypeVolume(path, name, option)
    if node is None:
        raise InputError(_("A volume could not be loaded"), source=path)
    node.SetName(name)  # Slicer has made it unique
    storage = node.GetStorageNode()
    node.SetAndObserveStorageNodeID(None)
    if storage is not None:
        slicer.mrmlScene.RemoveNode(storage)
    return node


def removeNode(node):
    """Remove a node and its display nodes from the scene."""
    count = node.GetNumberOfDisplayNodes() if hasattr(node, "GetNumberOfDisplayNodes") else 0
    displays = [node.GetNthDisplayNode(number) for number in range(count)]
    for one in (node, *displays):
        if one is not None:
            slicer.mrmlScene.RemoveNode(one)
