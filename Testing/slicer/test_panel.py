"""What the panel decides: what can be pressed when, and what it says."""

from __future__ import annotations

import sys
import time
import types

import numpy as np
import pytest

from magpie_core.errors import ResourceError
from magpie_core.study.nifti import write_volume

SELECTORS = {"T1": "t1Selector", "T1CE": "t1ceSelector", "T2": "t2Selector", "FLAIR": "flairSelector"}


@pytest.fixture
def desktop(slicer, monkeypatch):
    """Stand-ins for what slicer-core lacks; modules of the panel that hold on to them are forgotten again."""
    from widget_stand_ins import stand_in_modules

    for name, module in stand_in_modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    before = set(sys.modules)
    shown = types.SimpleNamespace(errors=[], background=None)
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **options: shown.errors.append(text))

    def show(background=None, fit=False):
        shown.background = background

    monkeypatch.setattr(slicer.util, "setSliceViewerLayers", show)
    yield shown
    for name in set(sys.modules) - before:
        if name.startswith("Magpie"):
            del sys.modules[name]


@pytest.fixture
def ui(desktop):
    from widget_stand_ins import NodeSelector, Table, Widget

    widgets = {name: NodeSelector() for name in SELECTORS.values()}
    labels = {name: Widget() for name in ("studyLabel", "statusLabel", "warningsLabel")}
    buttons = {name: Widget() for name in ("assignButton", "segmentButton", "cancelButton")}
    return types.SimpleNamespace(resultTable=Table(), progressBar=Widget(), **widgets, **labels, **buttons)


class Complete:
    """Nothing has to be installed."""

    def isComplete(self):  # noqa: N802
        return True


@pytest.fixture
def parameter_node(slicer):
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters")


@pytest.fixture
def make_panel(desktop, ui, logic, parameter_node):
    from MagpieSegmentationLib.Panel import Panel

    def make(install=None):
        panel = Panel(ui, logic, install or Complete())
        panel.show(parameter_node)
        return panel

    return make


@pytest.fixture
def phantom(tmp_path, make_study, load_volume):
    """Loads a phantom study; returns its nodes by sequence."""
    names = {"T1": "t1", "T1CE": "t1c", "T2": "t2", "FLAIR": "flair"}
    nodes = {}
    for sequence, volume in make_study().volumes.items():
        write_volume(volume, tmp_path / f"{names[sequence.value]}.nii.gz")
        nodes[sequence.value] = load_volume(tmp_path / f"{names[sequence.value]}.nii.gz")
    return nodes


@pytest.fixture
def with_tiny_model(logic, tiny_model, monkeypatch):
    start = logic.start
    monkeypatch.setattr(
        logic, "start", lambda volumes: start(volumes, model=tiny_model, device="cpu", threads=1)
    )


def tick_until(panel, done, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while not done() and time.monotonic() < deadline:
        if panel._timer.running:
            panel._timer.emit()
        time.sleep(0.02)
    assert done()


def test_an_empty_scene_says_what_to_do(make_panel, ui):
    make_panel()
    assert not ui.segmentButton.enabled
    assert ui.studyLabel.text == ui.segmentButton.toolTip == "Choose the images of one examination."
    assert not ui.cancelButton.enabled
    assert ui.cancelButton.toolTip
    assert not ui.progressBar.visible
    assert not ui.resultTable.visible


def test_volumes_are_chosen_by_name_when_the_panel_opens(make_panel, ui, phantom):
    panel = make_panel()
    assert {name: node.GetName() for name, node in panel.volumes().items()} == {
        name: node.GetName() for name, node in phantom.items()
    }
    assert ui.segmentButton.enabled
    assert ui.studyLabel.text == ""


def test_choosing_by_name_keeps_what_the_user_chose(make_panel, ui, phantom):
    make_panel()
    ui.t1Selector.setCurrentNode(None)
    ui.flairSelector.setCurrentNode(None)
    ui.t2Selector.setCurrentNode(phantom["FLAIR"])
    ui.assignButton.press()
    assert ui.t2Selector.currentNode() is phantom["FLAIR"]
    assert ui.t1Selector.currentNode() is phantom["T1"]
    assert ui.flairSelector.currentNode() is None


def test_a_volume_chosen_twice_cannot_be_segmented_and_the_button_says_why(make_panel, ui, phantom):
    make_panel()
    ui.t2Selector.setCurrentNode(phantom["T1"])
    assert not ui.segmentButton.enabled
    assert ui.studyLabel.text == ui.segmentButton.toolTip == "t1 is chosen as T1 and as T2."


def test_a_missing_sequence_is_remarked_and_does_not_stop(make_panel, ui, phantom):
    make_panel()
    ui.t2Selector.setCurrentNode(None)
    assert "Without T2" in ui.studyLabel.text
    ui.t1ceSelector.setCurrentNode(None)
    assert "enhancing" in ui.studyLabel.text
    assert ui.segmentButton.enabled


def test_one_press_gives_millilitres_and_shows_the_study(
    make_panel, ui, desktop, phantom, parameter_node, with_tiny_model
):
    panel = make_panel()
    ui.segmentButton.press()
    assert not desktop.errors
    assert panel._timer.running
    assert not ui.segmentButton.enabled
    assert not ui.t1Selector.enabled
    assert ui.cancelButton.enabled
    assert ui.progressBar.visible
    seen = []
    tick_until(
        panel, lambda: seen.append((ui.progressBar.value, ui.statusLabel.text)) or not panel._timer.running
    )
    values = [value for value, _ in seen]
    assert values == sorted(values)
    assert len({text for _, text in seen}) >= 3
    assert not desktop.errors
    assert ui.statusLabel.text == "Done"
    assert [row[0] for row in ui.resultTable.rows][:3] == ["Whole tumour", "Tumour core", "Enhancing tumour"]
    assert all(row[1].endswith(" ml") for row in ui.resultTable.rows)
    assert desktop.background is phantom["T1CE"]
    assert ui.segmentButton.enabled
    assert not ui.cancelButton.enabled
    assert parameter_node.GetNodeReference("result").IsA("vtkMRMLSegmentationNode")


def test_the_result_of_a_saved_scene_is_shown_again(make_panel, ui, phantom, parameter_node, with_tiny_model):
    panel = make_panel()
    ui.segmentButton.press()
    tick_until(panel, lambda: not panel._timer.running)
    rows = ui.resultTable.rows
    panel.show(None)
    ui.resultTable.setRowCount(0)
    panel.show(parameter_node)
    assert ui.resultTable.rows == rows
    assert panel.volumes() == phantom


def test_cancel_is_said_and_leaves_no_error(make_panel, ui, desktop, phantom, with_tiny_model):
    panel = make_panel()
    ui.segmentButton.press()
    tick_until(panel, lambda: ui.progressBar.value > 0 or ui.statusLabel.text != "Starting")
    ui.cancelButton.press()
    assert ui.statusLabel.text == "Cancelling"
    assert not ui.cancelButton.enabled
    tick_until(panel, lambda: not panel._timer.running)
    assert ui.statusLabel.text == "Cancelled"
    assert not desktop.errors
    assert ui.segmentButton.enabled


def test_a_fault_is_shown_with_cause_and_remedy(make_panel, ui, desktop, slicer, phantom, with_tiny_model):
    panel = make_panel()
    slicer.util.arrayFromVolume(phantom["T2"])[:] = np.float32(3)
    ui.segmentButton.press()
    tick_until(panel, lambda: not panel._timer.running)
    (text,) = desktop.errors
    assert text.startswith("t2: ")
    assert ui.statusLabel.text == "Not done"
    assert ui.segmentButton.enabled


def test_a_volume_that_cannot_be_used_is_told_at_once(make_panel, ui, desktop, slicer, phantom):
    panel = make_panel()
    ui.t2Selector.setCurrentNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
    ui.segmentButton.press()
    assert "empty" in desktop.errors[0]
    assert not panel._logic.isRunning
    assert ui.segmentButton.enabled


def test_what_is_missing_is_installed_first_and_a_refusal_is_told(make_panel, ui, desktop, phantom):
    class Refused:
        def isComplete(self):  # noqa: N802
            return False

        def install(self):
            raise ResourceError("The installation was declined")

    panel = make_panel(Refused())
    ui.segmentButton.press()
    assert "declined" in desktop.errors[0]
    assert not panel._logic.isRunning


def test_the_module_comes_up_and_goes_down(slicer, desktop, ui, monkeypatch):
    loaded = types.SimpleNamespace(setMRMLScene=lambda scene: None)
    monkeypatch.setattr(slicer.util, "loadUI", lambda path: loaded)
    monkeypatch.setattr(slicer.util, "childWidgetVariables", lambda widget: ui)
    import MagpieSegmentation

    parent = types.SimpleNamespace(isEntered=True)
    MagpieSegmentation.MagpieSegmentation(parent)
    assert "Glioma Segmentation" in parent.title
    assert "Research use only" in parent.helpText
    monkeypatch.setattr(MagpieSegmentation.MagpieSegmentationWidget, "resources", "", raising=False)
    widget = MagpieSegmentation.MagpieSegmentationWidget(parent)
    widget.setup()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1ce")
    ui.assignButton.press()
    assert ui.t1ceSelector.currentNode() is node
    slicer.mrmlScene.Clear(0)
    widget.enter()
    widget.exit()
    assert widget.panel.volumes() == {}
    widget.cleanup()
