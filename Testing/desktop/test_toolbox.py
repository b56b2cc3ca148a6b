"""Layout, crosshair and rating by SlicerDevelopmentToolbox where it works; its failure does not touch the panel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_PANEL = "MagpieSegmentation"
_LAYOUT = "slicer.app.layoutManager().layout"
_CROSSHAIR = "slicer.mrmlScene.GetFirstNodeByClass('vtkMRMLCrosshairNode').GetCrosshairMode()"
_RESULT = "slicer.util.getNodesByClass('vtkMRMLSegmentationNode')[0]"
_FOUR_UP, _SIDE_BY_SIDE = 3, 29


@pytest.fixture
def toolbox():
    """The folder of SlicerDevelopmentToolbox."""
    folder = Path(os.environ.get("MAGPIE_TOOLBOX_SOURCE", ""))
    if not (folder / "SlicerDevelopmentToolboxUtils").is_dir():
        pytest.skip("needs SlicerDevelopmentToolbox: set MAGPIE_TOOLBOX_SOURCE to the folder of its source")
    return folder


@pytest.fixture
def sitk_utils(tmp_path):
    """A folder with the module sitkUtils, which the toolbox imports; only an official Slicer has it."""
    folder = tmp_path / "sitk"
    folder.mkdir()
    (folder / "sitkUtils.py").write_text("")
    return folder


def _try_the_buttons(user):
    user.click(_PANEL, "sideBySideButton")
    assert user.look(_LAYOUT) == _SIDE_BY_SIDE
    user.click(_PANEL, "fourUpButton")
    assert user.look(_LAYOUT) == _FOUR_UP
    user.click(_PANEL, "crosshairButton")
    assert user.look(_CROSSHAIR) != 0
    user.drag([(1000, 300), (1010, 310)])
    user.click(_PANEL, "crosshairButton")
    assert user.look(_CROSSHAIR) == 0


def test_toolbox_serves_layout_crosshair_and_rating(start, toolbox, sitk_utils):
    user = start(modules=[str(toolbox)], site=[str(sitk_utils)])
    user.open_module("MAGPIE Glioma", _PANEL)
    user.click_edge(_PANEL, "correctSection")
    assert user.text(_PANEL, "fourUpButton") == "", "it is not the toolbox's, which has an icon"
    nodes = user.look("slicer.mrmlScene.GetNumberOfNodes()")
    _try_the_buttons(user)
    assert user.look("slicer.mrmlScene.GetNumberOfNodes()") == nodes

    user.click(_PANEL, "sampleButton")
    user.wait_for(f"magpie_widget('{_PANEL}', 'segmentButton').enabled")
    user.click(_PANEL, "segmentButton")
    user.wait_for(f"magpie_widget('{_PANEL}', 'ratingButton').enabled")
    user.wait_for(f"not magpie_widget('{_PANEL}', 'cancelButton').enabled")
    nodes = user.look("slicer.mrmlScene.GetNumberOfNodes()")
    user.click(_PANEL, "ratingButton")
    assert "How good was the proposal" in user.dialog()["text"]
    user.picture("rating")
    user.key("alt+F4")
    user.wait_for("slicer.app.activeModalWidget() is None", 10)
    assert user.look(f"{_RESULT}.GetAttribute('MAGPIE.rating')") is None
    user.click(_PANEL, "ratingButton")
    user.dialog()
    buttons = "slicer.util.findChildren(slicer.app.activeModalWidget(), className='QPushButton')"
    stars = sorted(user.look(f"[magpie_center(star) for star in {buttons} if star.isVisible()]"))
    user.click_at(*stars[3])
    user.wait_for("slicer.app.activeModalWidget() is None", 10)
    assert user.look(f"{_RESULT}.GetAttribute('MAGPIE.rating')") == "4"
    assert "4 of 5" in user.text(_PANEL, "changesLabel")
    assert user.look("slicer.mrmlScene.GetNumberOfNodes()") == nodes


def test_a_broken_toolbox_does_not_touch_the_panel(start, tmp_path):
    broken = tmp_path / "broken"
    (broken / "SlicerDevelopmentToolboxUtils").mkdir(parents=True)
    (broken / "SlicerDevelopmentToolboxUtils" / "__init__.py").write_text(
        "raise RuntimeError('made for a Slicer of 2018')"
    )
    user = start(site=[str(broken)])
    user.open_module("MAGPIE Glioma", _PANEL)
    user.click_edge(_PANEL, "correctSection")
    assert user.text(_PANEL, "fourUpButton") == "Four views"
    _try_the_buttons(user)
