"""The Segmentation module from the first look to the closed scene: views, table, editor, review, what stays behind."""

from __future__ import annotations

import time

import pytest
from watching import CALLBACK_S, RESULT_S, WATCH, computed_since, turns

PANEL = "MagpieSegmentation"

_RESULTS = "[n for n in slicer.util.getNodesByClass('vtkMRMLSegmentationNode') if not n.GetHideFromEditors()]"
_PROPOSALS = "[n for n in slicer.util.getNodesByClass('vtkMRMLSegmentationNode') if n.GetHideFromEditors()]"
_VOLUMES = "slicer.util.getNodesByClass('vtkMRMLScalarVolumeNode')"
_NODES = "[n.GetClassName() + ' ' + n.GetID() for n in slicer.util.getNodesByClass('vtkMRMLNode')]"
_PANEL_NODE = (
    "[n for n in slicer.util.getNodesByClass('vtkMRMLScriptedModuleNode') if n.GetName() == 'MagpieSegmentation']"
)
_EFFECT = "[n.GetActiveEffectName() for n in slicer.util.getNodesByClass('vtkMRMLSegmentEditorNode')]"
_SHORTCUTS = "len(slicer.util.findChildren(slicer.util.mainWindow(), className='QShortcut'))"
_TIMER = "slicer.modules.MagpieSegmentationWidget.panel._timer.active"
_OFFSETS = (
    "[slicer.app.layoutManager().sliceWidget(n).sliceLogic().GetSliceOffset() for n in ('Yellow', 'Green', 'Red')]"
)
_RED = "slicer.app.layoutManager().sliceWidget('Red').sliceView()"


@pytest.fixture
def user(start):
    """The user of a fresh Slicer whose event loop is watched."""
    return start(extra_env={"MAGPIE_DEFAULT_MODEL": "magpie-s"}, extra_args=WATCH)


@pytest.mark.timeout(900)
def test_from_the_first_look_to_the_closed_scene(user):
    _opening_adds_only_the_parameter_node(user)
    _training_time_has_limits(user)
    _sample_is_shown_in_all_views(user)
    _result_arrives_while_another_module_is_open(user)
    _result_is_readable_and_its_tumor_shown(user)
    _diameters_and_outlines_can_be_shown(user)
    _leaving_ends_the_effect_and_the_shortcuts(user)
    _review_notices_a_stroke_outside_of_the_brain(user)
    _closed_scene_leaves_nothing_of_a_running_job(user)


def _widget(name: str) -> str:
    return f"magpie_widget({PANEL!r}, {name!r})"


def _opening_adds_only_the_parameter_node(user):
    before, shortcuts = set(user.look(_NODES)), user.look(_SHORTCUTS)
    user.open_module("MAGPIE Glioma", PANEL)
    added = set(user.look(_NODES)) - before
    assert {one.split()[0] for one in added} <= {"vtkMRMLScriptedModuleNode", "vtkMRMLSegmentEditorNode"}
    assert user.look(f"len({_PANEL_NODE})") == 1
    assert user.look("slicer.modules.MagpieSegmentationWidget.panel.isBound")
    assert user.look(_SHORTCUTS) > shortcuts
    assert not user.look(_TIMER)
    user.open_module("Welcome", "Welcome")
    assert user.look(_SHORTCUTS) == shortcuts
    assert not user.look("slicer.modules.MagpieSegmentationWidget.panel.isBound")
    user.open_module("MAGPIE Glioma", PANEL)


def _training_time_has_limits(user):
    box = _widget("minutesBox")
    assert user.look(f"[{box}.minimum, {box}.maximum, {box}.value]") == [1, 1440, 90]
    user.click_edge(PANEL, "finetuneSection")
    user.click_edge(PANEL, "minutesBox")
    user.key("ctrl+a")
    user.type_text("30\t")
    assert user.look(f"{_PANEL_NODE}[0].GetParameter('minutes')") == "30"
    user.click_edge(PANEL, "finetuneSection")


def _sample_is_shown_in_all_views(user):
    user.click(PANEL, "sampleButton")
    user.wait_for(f"{_widget('segmentButton')}.enabled")
    bounds = user.look(f"(lambda b: [b, {_VOLUMES}[0].GetRASBounds(b)][0])([0.0] * 6)")
    center = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
    focus = user.look("list(slicer.util.getNodesByClass('vtkMRMLCameraNode')[0].GetFocalPoint())")
    assert focus == pytest.approx(center, abs=1)
    assert user.look(_OFFSETS) == pytest.approx(center, abs=1.5)


def _result_arrives_while_another_module_is_open(user):
    user.click(PANEL, "segmentButton")
    user.wait_for(_TIMER)
    started = turns(user)
    user.open_module("Welcome", "Welcome")
    user.wait_for(f"{_RESULTS} and not {_TIMER}")
    computed = computed_since(user, started, "taking over a result")
    # The longest is the result, the next one the change of the module, by Slicer itself.
    assert computed[0] < RESULT_S and computed[2] < CALLBACK_S
    user.open_module("MAGPIE Glioma", PANEL)
    assert user.look(f"[n.GetNodeReference('result') in {_RESULTS} for n in {_PANEL_NODE}]") == [True]
    assert user.text(PANEL, "statusLabel") == "Done"
    assert "Invalid scene" not in user.log


def _result_is_readable_and_its_tumor_shown(user):
    user.reach(PANEL, "resultTable")
    table = _widget("resultTable")
    rows = user.table(PANEL, "resultTable")
    assert [row[0] for row in rows] == [
        "Whole tumor", "Tumor core", "Enhancing tumor", "Necrotic or non-enhancing core",
        "Edema or FLAIR hyperintensity",
    ]  # fmt: skip
    heads = user.look(f"[{table}.horizontalHeaderItem(n).text() for n in range(4)]")
    assert heads == ["Region", "Volume\n(ml)", "90 %\ninterval", "Diameters\n(mm)"]
    assert all(float(row[1]) >= 0 for row in rows)
    assert user.look(f"{table}.item(0, 1).textAlignment()") & 0x2  # right
    for bar in ("qt_scrollarea_vcontainer", "qt_scrollarea_hcontainer"):
        assert not user.look(f"slicer.util.findChild({table}, {bar!r}).isVisible()")
    # Slicer makes the panel as wide as this and 55 for margins and a scroll bar.
    assert user.look(f"{_widget(PANEL)}.sizeHint.width()") <= 360 - 55
    # A cell has a margin of 3 on each side; a word that is wider would be cut.
    widths = user.look(f"[{table}.columnWidth(0), {table}.fontMetrics().width('hyperintensity') + 7]")
    assert widths[0] >= widths[1]
    is_whole = f"{table}.height - {table}.rowViewportPosition(4) - {table}.rowHeight(4) >= 0"
    assert user.look(is_whole)
    for move in (140, -140):  # the panel is made wider, and narrow again
        x, y = user.look(
            "(lambda dock: (lambda p: [p.x(), p.y()])(dock.mapToGlobal(_qt.QPoint(dock.width, dock.height // 2))))"
            "(slicer.util.findChild(slicer.util.mainWindow(), 'PanelDockWidget'))"
        )
        before = user.look(f"{table}.width")
        user.drag([(x + 2, y), (x + 2 + move // 2, y), (x + 2 + move, y)])
        user.wait_for(f"abs({table}.width - {before}) > 50", 10)
        user.wait_for(is_whole, 10)
    assert '+installed"' in user.look(f"{_RESULTS}[0].GetAttribute('MAGPIE.report')")
    masks = (
        f"slicer.util.arrayFromSegmentBinaryLabelmap({_RESULTS}[0], s, {_VOLUMES}[0])"
        f" for s in {_RESULTS}[0].GetSegmentation().GetSegmentIDs()"
    )
    areas = user.look(f"sum({masks}).astype(bool).sum(axis=(1, 2)).tolist()")
    origin, spacing = user.look(f"[list({_VOLUMES}[0].GetOrigin()), list({_VOLUMES}[0].GetSpacing())]")
    assert user.look(_OFFSETS)[2] == pytest.approx(origin[2] + areas.index(max(areas)) * spacing[2], abs=0.8)
    core, edema, enhancing = user.look(
        f"[n.GetDisplayNode().GetSegmentOpacity3D(s) for n in {_RESULTS} for s in n.GetSegmentation().GetSegmentIDs()]"
    )
    assert edema < enhancing < core == 1
    assert user.look(f"[n.GetDisplayVisibility() for n in {_PROPOSALS}]") == [0]


def _diameters_and_outlines_can_be_shown(user):
    lines = "slicer.util.getNodesByClass('vtkMRMLMarkupsLineNode')"
    user.click_edge(PANEL, "diametersBox")
    user.picture("diameters")
    assert user.look(f"len({lines})") == 6
    assert user.look(f"[n.GetDisplayNode().GetVisibility3D() for n in {lines}]") == [0] * 6
    labels = user.look(
        f"[[n.GetNthControlPointLabel(k), list(n.GetNthControlPointPositionWorld(k))] for n in {lines} for k in (0, 1)]"
    )
    shown = [place for text, place in labels if text]
    assert shown
    for number, one in enumerate(shown):
        for other in shown[:number]:
            assert any(abs(a - b) >= size for a, b, size in zip(one, other, (36, 12, 5), strict=True))
    user.click_edge(PANEL, "outlineBox")
    assert user.look(f"{_RESULTS}[0].GetDisplayNode().GetVisibility2DFill()") == 0
    user.click_edge(PANEL, "outlineBox")
    assert user.look(f"{_RESULTS}[0].GetDisplayNode().GetVisibility2DFill()") == 1
    user.click_edge(PANEL, "show3DBox")
    user.picture("surfaces")
    user.click_edge(PANEL, "diametersBox")
    assert user.look(f"len({lines})") == 0


def _leaving_ends_the_effect_and_the_shortcuts(user):
    shortcuts = user.look(_SHORTCUTS)
    user.click_edge(PANEL, "segmentSection")
    user.click_edge(PANEL, "correctSection")
    for selector in ("SegmentationNodeComboBox", "SourceVolumeNodeComboBox"):
        assert not user.look(f"{_widget(selector)}.isVisible()")
    user.click(PANEL, "Paint")
    assert user.look(_EFFECT) == ["Paint"]
    user.open_module("Welcome", "Welcome")
    assert not any(user.look(_EFFECT))
    assert user.look(_SHORTCUTS) < shortcuts
    user.open_module("MAGPIE Glioma", PANEL)
    assert user.look(_SHORTCUTS) == shortcuts


def _review_notices_a_stroke_outside_of_the_brain(user):
    user.click(PANEL, "Paint")
    time.sleep(2)  # the options of the effect make the panel wider, and the views narrower
    left, top, width, height = user.look(
        f"(lambda v, p: [p.x(), p.y(), v.width, v.height])({_RED}, {_RED}.mapToGlobal(_qt.QPoint(0, 0)))"
    )
    x, y = left + width // 2, top + round(0.05 * height)
    user.drag([(x, y), (x + 10, y), (x + 20, y)])
    time.sleep(1)
    user.picture("stroke")
    user.click(PANEL, "changesButton")
    assert user.text(PANEL, "changesLabel").endswith("% of the tumor was changed.")
    assert not user.text(PANEL, "changesLabel").startswith("0 %")
    assert user.look(f"[n.GetDisplayVisibility() for n in {_PROPOSALS}]") == [0]
    user.click_edge(PANEL, "reviewedBox")
    assert "outside of the brain" in user.answer("No")["text"]
    assert not user.look(f"{_widget('reviewedBox')}.checked")
    user.click(PANEL, "UndoButton")
    user.click_edge(PANEL, "reviewedBox")
    user.wait_for(f"{_widget('reviewedBox')}.checked", 20)
    assert user.look("magpie_dialog()") is None
    assert user.text(PANEL, "changesLabel").startswith("0 %")


def _closed_scene_leaves_nothing_of_a_running_job(user):
    user.click_edge(PANEL, "correctSection")
    user.click_edge(PANEL, "segmentSection")
    user.click(PANEL, "segmentButton")
    user.wait_for(_TIMER)
    user.key("ctrl+w")
    user.answer("Close scene (discard modifications)")
    user.wait_for(f"not {_VOLUMES} and not {_TIMER}", 60)
    user.picture("closed")
    assert user.look(f"len({_RESULTS}) + len({_PROPOSALS})") == 0
    assert not user.look(f"{_widget('resultTable')}.isVisible()")
    assert not user.look(f"{_widget('reviewedBox')}.enabled")
    assert user.text(PANEL, "studyLabel") == "Choose the images of one examination."
    assert user.look("slicer.modules.MagpieSegmentationWidget.panel.isBound")
    user.click(PANEL, "sampleButton")
    user.wait_for(_TIMER)
    user.key("ctrl+w")
    if user.look("magpie_dialog()"):
        user.answer("Close scene (discard modifications)")
    user.wait_for(f"not {_TIMER}", 60)
    assert not user.look(f"len({_VOLUMES})")
