"""Nodes of the Training module in the scene, marked by an attribute, so that they are found in a loaded scene."""

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import InputError


def findNodes(className, attribute, value=None):
    """Return the nodes of a class, e.g. "vtkMRMLTableNode", with an attribute, or with `value` of the attribute."""
    nodes = [(node, node.GetAttribute(attribute)) for node in slicer.util.getNodesByClass(className)]
    return [node for node, found in nodes if found and value in (None, found)]


def findNode(className, attribute, value=None):
    """Return the first of the nodes of `findNodes`; None if there is none."""
    return next(iter(findNodes(className, attribute, value)), None)


def createNode(className, name, attribute, value):
    """Add a node with an attribute to the scene; one that has a file gets a name of its own."""
    if name and issubclass(getattr(slicer, className), slicer.vtkMRMLStorableNode):
        name = slicer.mrmlScene.GenerateUniqueName(name)
    node = slicer.mrmlScene.AddNewNodeByClass(className, name)
    node.SetAttribute(attribute, value)
    return node


def readVolume(path, className="vtkMRMLScalarVolumeNode"):
    """Read a temporary file into a volume node that is not in the scene.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    node = getattr(slicer, className)()
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(path)
    storage.SetSingleFile(True)  # the files of the experts are numbered, as those of a series
    if not Path(path).is_file() or not storage.ReadData(node, True):
        raise InputError(_("A volume could not be loaded"), source=path)
    return node


def showVolume(volume, name, attribute, value):
    """Give a volume from `readVolume` to the node that is marked so, made if there is none; returns the node.

    Slicer takes long to remove a volume and to add another.
    """
    node = findNode(volume.GetClassName(), attribute, value)
    if node is None:
        node = createNode(volume.GetClassName(), name, attribute, value)
    node.SetName(name)
    node.CopyOrientation(volume)
    node.SetAndObserveImageData(volume.GetImageData())
    node.CreateDefaultDisplayNodes()
    return node


def putIntoFolder(nodes, name, beside=None):
    """Put nodes into a folder of the subject hierarchy: in the study of the node `beside`, else at the scene's root."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None:
        return
    items = [hierarchy.GetItemByDataNode(node) for node in nodes if node is not None]
    items = [item for item in items if item]
    if not items:  # outside the application nodes have none
        return
    item = hierarchy.GetItemByDataNode(beside) if beside is not None else 0
    parent = hierarchy.GetItemParent(item) if item else hierarchy.GetSceneItemID()
    folder = hierarchy.GetItemChildWithName(parent, name) or hierarchy.CreateFolderItem(parent, name)
    before = {hierarchy.GetItemParent(item) for item in items}
    for item in items:
        hierarchy.SetItemParent(item, folder)
    for other in before:
        if hierarchy.GetItemName(other) == name and not hierarchy.GetNumberOfItemChildren(other):
            hierarchy.RemoveItem(other)


def removeNode(node):
    """Remove a node and its display nodes from the scene."""
    count = node.GetNumberOfDisplayNodes() if hasattr(node, "GetNumberOfDisplayNodes") else 0
    displays = [node.GetNthDisplayNode(number) for number in range(count)]
    for one in (node, *displays):
        _remove(one)


def _remove(node):
    """Remove a node unless Slicer has removed it together with another."""
    if node is not None and node.GetScene() is not None:
        slicer.mrmlScene.RemoveNode(node)
