"""The default weights are asked for once, with license and accuracy; the sample opens from the module Sample Data."""

from __future__ import annotations

import json

_PANEL = "MagpieSegmentation"
_RESULTS = "slicer.util.getNodesByClass('vtkMRMLSegmentationNode')"


def test_weights_are_asked_for_once_and_named_in_every_report(start):
    user = start(extra_env={"MAGPIE_DEFAULT_MODEL": ""})
    user.open_module("Sample Data", "SampleData")
    user.click("SampleData", "Synthetic gliomaPushButton")
    user.wait_for("len(slicer.util.getNodesByClass('vtkMRMLScalarVolumeNode')) == 4")

    user.open_module("MAGPIE Glioma", _PANEL)
    assert "asked" in user.text(_PANEL, "modelLabel")
    user.click(_PANEL, "segmentButton")
    question = user.answer("Cancel")
    user.picture("question")
    for words in ("magpie-s-synthetic 0.3.0", "Apache-2.0", "magpie-s 0.3.0", "CC-BY-NC-SA-4.0", "research only"):
        assert words in question["text"]
    for dice in ("0.77", "0.71", "0.78", "0.79", "0.74", "0.84"):  # of the cards: enhancing, core, whole tumor
        assert dice in question["text"]
    assert user.look("slicer.app.activeModalWidget() is None")
    assert not user.look(f"magpie_widget('{_PANEL}', 'cancelButton').enabled"), "it runs without an answer"

    user.click(_PANEL, "segmentButton")
    user.answer("magpie-s-synthetic")
    user.wait_for(f"{_RESULTS} and magpie_widget('{_PANEL}', 'ratingButton').enabled")
    report = json.loads(user.look(f"{_RESULTS}[0].GetAttribute('MAGPIE.report')"))
    assert (report["model"]["name"], report["model"]["license"]) == ("magpie-s-synthetic 0.3.0", "Apache-2.0")
    assert user.text(_PANEL, "modelLabel") == "magpie-s-synthetic 0.3.0, Apache-2.0: commercial use allowed"
    _rate_without_the_toolbox(user)

    user.click(_PANEL, "modelButton")
    user.answer("magpie-s")
    assert user.text(_PANEL, "modelLabel").startswith("magpie-s 0.3.0, CC-BY-NC-SA-4.0: research only")
    user.click(_PANEL, "segmentButton")
    user.wait_for(f"magpie_widget('{_PANEL}', 'cancelButton').enabled", 20)  # it does not ask again
    user.click(_PANEL, "cancelButton")
    user.wait_for(f"not magpie_widget('{_PANEL}', 'cancelButton').enabled", 60)


def _rate_without_the_toolbox(user):
    """Rate the proposal in a dialog of Slicer's own; canceling stores nothing."""
    ratings = f"[node.GetAttribute('MAGPIE.rating') for node in {_RESULTS} if node.GetAttribute('MAGPIE.rating')]"
    user.click_edge(_PANEL, "correctSection")
    user.click(_PANEL, "ratingButton")
    user.answer("Cancel")
    assert user.look(ratings) == []
    user.click(_PANEL, "ratingButton")
    user.dialog()
    user.key("ctrl+a")
    user.type_text("3")
    user.answer("OK")
    assert user.look(ratings) == ["3"]
    assert "3 of 5" in user.text(_PANEL, "changesLabel")
    user.click_edge(_PANEL, "correctSection")
