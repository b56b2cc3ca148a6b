"""SlicerDevelopmentToolbox, the module Sample Data, and DICOM descriptions."""

from __future__ import annotations

import sys
import types

import pytest


@pytest.fixture
def toolbox(monkeypatch):
    """The used parts of SlicerDevelopmentToolboxUtils."""
    from PySide6 import QtWidgets

    package = types.ModuleType("SlicerDevelopmentToolboxUtils")
    package.__path__ = []
    package.__spec__ = types.SimpleNamespace(name="SlicerDevelopmentToolboxUtils")
    buttons = types.ModuleType("SlicerDevelopmentToolboxUtils.buttons")
    for name in ("CrosshairButton", "FourUpLayoutButton", "SideBySideLayoutButton"):
        setattr(buttons, name, type(name, (QtWidgets.QPushButton,), {}))
    widgets = types.ModuleType("SlicerDevelopmentToolboxUtils.widgets")

    class RatingWindow:
        def __init__(self, largest):
            self.rating = largest - 1

        def exec_(self):
            return True

    widgets.RatingWindow = RatingWindow
    for module in (package, buttons, widgets):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_toolbox_falls_back_to_layout_manager_and_crosshair_node(module, desktop):
    from MagpieSegmentationLib.DevelopmentToolbox import DevelopmentToolbox

    assert not DevelopmentToolbox.isAvailable()
    four, conventional, crosshair = DevelopmentToolbox().viewButtons()
    four.click()
    conventional.click()
    assert desktop.layouts == [3, 2]
    slicer = desktop.slicer
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    before = node.GetCrosshairMode()
    crosshair.click()
    assert node.GetCrosshairMode() != before
    crosshair.click()
    assert node.GetCrosshairMode() == before


def test_toolbox_uses_buttons_and_dialog_of_the_extension(desktop, toolbox):
    from MagpieSegmentationLib.DevelopmentToolbox import DevelopmentToolbox

    assert DevelopmentToolbox.isAvailable()
    names = [type(button).__name__ for button in DevelopmentToolbox().viewButtons()]
    assert names == ["FourUpLayoutButton", "SideBySideLayoutButton", "CrosshairButton"]
    assert DevelopmentToolbox().askRating(5) == 4


@pytest.mark.parametrize(("answer", "rating"), [((3, True), 3), ((3, False), None), (2, 2)])
def test_ask_rating_returns_the_number_of_the_input_dialog(desktop, monkeypatch, answer, rating):
    import qt
    from MagpieSegmentationLib.DevelopmentToolbox import DevelopmentToolbox

    monkeypatch.setattr(qt.QInputDialog, "getInt", lambda *arguments: answer)
    assert DevelopmentToolbox().askRating() == rating


def test_sample_study_is_registered_after_startup(module, desktop, monkeypatch):
    assert desktop.connected == ["startupCompleted()"]
    registered = []
    sample_data = types.ModuleType("SampleData")
    sample_data.SampleDataLogic = types.SimpleNamespace(
        registerCustomSampleDataSource=lambda **options: registered.append(options)
    )
    monkeypatch.setitem(sys.modules, "SampleData", sample_data)
    sys.modules["MagpieSegmentation"].registerSampleData()
    assert registered[0]["category"] == "MAGPIE"
    assert registered[0]["uris"] == registered[0]["fileNames"] == []  # Slicer calls len() on both


def test_by_name_assigns_dicom_volumes_by_description_and_contrast_agent(module, desktop, monkeypatch):
    from MagpieSegmentationLib.ModalityAssignment import ModalityAssignment

    slicer = desktop.slicer
    tags = {
        "1": {"0008,103e": "AX T1 MPRAGE"},
        "2": {"0008,103e": "AX T1 MPRAGE", "0018,0010": "Gadovist"},
        "3": {"0008,103e": "T2W_FLAIR"},
    }
    monkeypatch.setattr(
        slicer,
        "dicomDatabase",
        types.SimpleNamespace(instanceValue=lambda uid, tag: tags[uid].get(tag, "")),
        raising=False,
    )
    nodes = []
    for uid in tags:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{uid}: series")
        node.SetAttribute("DICOM.instanceUIDs", uid)
        nodes.append(node)
    assignment = ModalityAssignment.byName(nodes)
    assert {name: nodes.index(node) + 1 for name, node in assignment.volumes.items()} == {
        "T1": 1,
        "T1CE": 2,
        "FLAIR": 3,
    }
