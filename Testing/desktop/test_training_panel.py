"""The Training module in a desktop Slicer: packages, curves, expert maps, and what is left when one leaves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from watching import CALLBACK_S, RESULT_S, WATCH, computed_since, turns

T, S = "MagpieTraining", "MagpieSegmentation"
_WIDGET = "magpie_widget('MagpieTraining', {!r})"
_NODES = "[node.GetClassName() + ' ' + node.GetName() for node in slicer.util.getNodesByClass('vtkMRMLNode')]"
_MAPS = (
    "[node for node in slicer.util.getNodesByClass('vtkMRMLScalarVolumeNode') if node.GetAttribute('MAGPIE.expert')]"
)
_LAYOUT = "slicer.util.getNodesByClass('vtkMRMLLayoutNode')[0]"
_PANEL = "slicer.modules.MagpieTrainingWidget.panel"
_TREE = "slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)"
_VIEWS = "{node.GetLayoutName(): node for node in slicer.util.getNodesByClass('vtkMRMLSliceNode')}"
_AXIS = "slicer.app.layoutManager().plotWidget(0).plotView().chart().GetAxis(1).GetTickLabels()"
_TICKS = f"[{_AXIS}.GetValue(index) for index in range({_AXIS}.GetNumberOfValues())]"


def _write(log: Path, lines: list[dict[str, float]]) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in lines)


def _metrics(first: int, count: int) -> list[dict[str, float]]:
    names = ("dice_WT", "dice_TC", "dice_ET", "learning_rate", "gradient_norm", "entropy_0", "load_0_0", "load_0_1")
    numbers = dict.fromkeys(names, 0.5)
    return [
        {"step": step, "minutes": 1.0, "progress": 0.3, "loss": 1.0, **numbers} for step in range(first, first + count)
    ]


def _assert_fits(user, name):
    """The table has no scroll bar, and no header is cut."""
    table = _WIDGET.format(name)
    assert user.look(f"sum({table}.rowHeight(row) for row in range({table}.rowCount))") == user.look(
        f"{table}.viewport().height"
    )
    for column in range(user.look(f"{table}.columnCount")):
        text = f"{table}.horizontalHeaderItem({column}).text()"
        assert user.look(f"{table}.columnWidth({column}) > {table}.fontMetrics().width({text})"), user.look(text)


def test_a_fresh_slicer_says_what_is_missing_and_offers_to_install_it(start, tmp_path):
    (tmp_path / "dataset_description.json").write_text("{}")
    user = start(complete=False)
    user.open_module("MAGPIE Glioma", S)
    user.click_edge(S, "finetuneSection")
    user.click(S, "cohortPath")
    user.type_text(f"{tmp_path}\t")  # as one remembered from the Slicer before, which had the packages
    user.wait_for("'packages' in magpie_widget('MagpieSegmentation', 'casesLabel').text", 10)
    user.open_module("MAGPIE Training", T)
    assert all(name in user.text(T, "packagesLabel") for name in ("PyTorch", "nibabel", "pyyaml"))
    for name in ("cohortSection", "trainingSection", "expertsSection", "modelsSection"):
        assert not user.place(T, name)["visible"]
    assert user.look(f"{_PANEL}.isBound")
    user.picture("packages")
    place = user.place(T, "installButton")
    assert place["visible"] and place["enabled"]


def test_scene_that_was_saved_with_all_experts_side_by_side_opens_so(start, tmp_path):
    (tmp_path / "scene.mrml").write_text(
        '<MRML userTags=""><Layout id="vtkMRMLLayoutNodevtkMRMLLayoutNode" name="Layout" '
        'singletonTag="vtkMRMLLayoutNode" currentViewArrangement="5801" guiPanelVisibility="1" /></MRML>'
    )
    user = start()
    user.key("ctrl+o")
    user.answer("Choose File(s) to Add")
    user.type_text(str(tmp_path / "scene.mrml"))
    user.key("Return")
    user.answer("OK")
    user.wait_for(f"{_LAYOUT}.GetViewArrangement() == 5801", 30)
    user.wait_for(f"len([name for name in {_VIEWS} if name.startswith('MagpieExpert')]) == 8", 30)
    # A view's node is there before its widget, and the widget before it is shown.
    user.wait_for(
        "(lambda view: view and view.isVisible())(slicer.app.layoutManager().sliceWidget('MagpieExpert8'))", 30
    )
    user.picture("scene")
    shown = f"[slicer.app.layoutManager().sliceWidget(n).visible for n in {_VIEWS} if n.startswith('MagpieExpert')]"
    assert user.look(shown) == [True] * 8


@pytest.fixture
def user_of_tiny_model(start, models_folder):
    """A user with a screen for three columns, and a model that is computed in seconds."""
    environment = {"MAGPIE_MODELS": str(models_folder), "MAGPIE_DEFAULT_MODEL": "magpie-s"}
    return start(size=(1100, 900), extra_env=environment, extra_args=WATCH)


def test_curves_and_expert_maps(user_of_tiny_model, tmp_path):
    user = user_of_tiny_model
    before = user.look(_NODES)
    user.open_module("MAGPIE Training", T)
    assert sorted(set(user.look(_NODES)) - set(before)) == ["vtkMRMLScriptedModuleNode MagpieTraining"]
    assert not user.place(T, "mouseTable")["visible"] and not user.place(T, "casesTable")["visible"]

    _follow_a_training(user, tmp_path / "site" / "runs" / "site-1")
    _compute_maps_while_in_another_module(user)
    _look_at_the_maps(user)
    _show_bars(user)
    _close_the_scene(user)
    user.open_module("Welcome to Slicer", "Welcome")
    _assert_nothing_is_followed(user)


def _follow_a_training(user, run):
    _write(run / "synthetic" / "log.jsonl", [{"step": 12, "made": 12, "studies": 150}])
    user.wait_for(f"'12 of 150' in {_WIDGET.format('runLabel')}.text", 10)
    assert user.look(f"{_WIDGET.format('runBar')}.value") == 8 and not user.place(T, "plotsButton")["enabled"]
    count = user.look(f"len({_NODES})")
    _write(run / "fold0" / "log.jsonl", _metrics(1, 20))
    user.wait_for(f"'Fold 1: 30 %' in {_WIDGET.format('runLabel')}.text", 10)
    _assert_fits(user, "loadTable")
    assert user.look(f"len({_NODES})") == count  # no chart before it is wanted
    user.click(T, "plotsButton")
    table = "[node for node in slicer.util.getNodesByClass('vtkMRMLTableNode') if 'Dice' in node.GetName()][0]"
    assert user.look(f"{table}.GetNumberOfRows()") == 20
    started = turns(user)
    _write(run / "fold0" / "log.jsonl", _metrics(21, 20))
    user.wait_for(f"{table}.GetNumberOfRows() == 40", 10)
    assert computed_since(user, started, "following a training with curves")[0] < CALLBACK_S
    user.picture("curves")


def _assert_nothing_is_followed(user):
    """No timer runs, and the mouse is not observed."""
    for timer in ("_pollTimer", "_logTimer"):
        user.wait_for(f"not {_PANEL}.{timer}.active", 10)
    assert user.look(f"{_PANEL}.experts.mouse._crosshair is None and not {_PANEL}.isBound")


def _compute_maps_while_in_another_module(user):
    user.open_module("MAGPIE Glioma", S)
    user.click(S, "sampleButton")
    user.wait_for("magpie_widget('MagpieSegmentation', 'segmentButton').enabled")
    user.click(S, "segmentButton")
    user.wait_for(f"len({_RESULTS}) == 1 and not magpie_widget('MagpieSegmentation', 'cancelButton').enabled")
    user.open_module("MAGPIE Training", T)
    user.click(T, "explainButton")
    user.open_module("Welcome to Slicer", "Welcome")
    assert user.look(f"{_PANEL}._pollTimer.active")
    started = turns(user)
    user.wait_for(f"len({_MAPS}) == 4")
    computed = computed_since(user, started, "taking over expert maps")
    assert computed[0] < RESULT_S and computed[1] < CALLBACK_S
    _assert_nothing_is_followed(user)
    parent = f"{_TREE}.GetItemParent({_TREE}.GetItemByDataNode({_MAPS}[0]))"
    volume = f"{_TREE}.GetItemByDataNode({_RESULTS}[0].GetNodeReference('MAGPIE.volume.T1CE'))"
    assert user.look(f"{_TREE}.GetItemName({parent})") == "Expert maps"
    assert user.look(f"{_TREE}.GetItemParent({parent}) == {_TREE}.GetItemParent({volume})")


_RESULTS = "[n for n in slicer.util.getNodesByClass('vtkMRMLSegmentationNode') if n.GetAttribute('MAGPIE.report')]"


def _look_at_the_maps(user):
    user.open_module("MAGPIE Training", T)
    assert user.look(f"{_WIDGET.format('expertSelector')}.count") == 5
    for name in ("agreementTable", "mouseTable"):
        user.reach(T, name)
        _assert_fits(user, name)
    width = user.look("slicer.util.mainWindow().width")
    user.click_edge(T, "gridBox")
    user.wait_for(f"'MagpieExpert4' in {_VIEWS}", 10)
    user.picture("side-by-side")
    assert user.look("slicer.util.mainWindow().width") == width
    volume = f"{_RESULTS}[0].GetNodeReference('MAGPIE.volume.T1CE')"
    high = user.look(
        f"(lambda bounds: {volume}.GetRASBounds(bounds) or [bounds[1] - bounds[0], bounds[3] - bounds[2]])([0] * 6)"
    )
    views = f"[{_VIEWS}[name] for name in {_VIEWS} if name.startswith('MagpieExpert')]"
    for field in user.look(f"[view.GetFieldOfView() for view in {views}]"):
        assert min(field[0] / high[0], field[1] / high[1]) == pytest.approx(1, abs=0.1)
    assert user.look(f"[view.GetSliceOffset() for view in {views}]") == pytest.approx(
        [user.look(f"{_VIEWS}['Red'].GetSliceOffset()")] * 4
    )
    user.click_edge(T, "gridBox")
    _point_at_the_brain(user)
    rows = user.table(T, "mouseTable")
    assert [row[0].split(" (")[0] for row in rows] == [f"Expert {n}" for n in range(1, 5)]
    assert sum(int(row[1]) for row in rows) == pytest.approx(100, abs=4)
    user.picture("mouse")


def _point_at_the_brain(user):
    place = "magpie_center(slicer.app.layoutManager().sliceWidget('Yellow').sliceView())"
    user.click_at(*user.look(place))
    user.wait_for(f"{_WIDGET.format('mouseTable')}.item(0, 1).text()", 10)


def _show_bars(user):
    user.click(T, "barsButton")
    user.wait_for(f"{_TICKS}[:1] and {_TICKS}[0].startswith('1')", 10)
    assert [text.split("\n")[0] for text in user.look(_TICKS)] == ["1", "2", "3", "4"]
    nodes = "slicer.util.getNodesByClass('vtkMRMLPlotSeriesNode')"
    colors = user.look(f"[node.GetColor() for node in {nodes} if node.GetAttribute('MAGPIE.expertBars')]")
    assert len({tuple(color) for color in colors}) == 4
    _point_at_the_brain(user)
    user.picture("bars")
    user.click(T, "plotsButton")
    user.wait_for(f"{_TICKS}[-1] not in ('4', '')", 10)
    user.picture("curves-after-bars")


def _close_the_scene(user):
    user.key("ctrl+w")
    user.answer("Close scene (discard modifications)")
    user.wait_for(f"not {_RESULTS}", 30)
    for name in ("expertsLabel", "templateLabel"):
        assert user.text(T, name) == ""
    assert not user.place(T, "mouseTable")["visible"] and not user.place(T, "agreementTable")["visible"]
    user.picture("closed")
