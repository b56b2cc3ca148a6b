"""The weights of each job, and when the user is asked for them."""

from __future__ import annotations

import shutil

import pytest

from magpie_core.models.registry import site_versions


@pytest.fixture
def choice(module, site, models_folder, monkeypatch):
    """MagpieSegmentationLib.ModelChoice with two installed models, none of them chosen; `asked` counts questions."""
    from MagpieSegmentationLib import ModelChoice

    shutil.copytree(models_folder, site / "models")
    shutil.copytree(models_folder / "magpie-s", site / "models" / "other")
    monkeypatch.setenv("MAGPIE_MODELS", str(site / "models"))
    monkeypatch.delenv("MAGPIE_DEFAULT_MODEL")
    ModelChoice.asked = []
    monkeypatch.setattr(ModelChoice, "askModel", lambda: ModelChoice.asked.append(1) or "")
    return ModelChoice


def _choose(desktop, name):
    desktop.slicer.app.userSettings().setValue("MAGPIE/DefaultModel", name)


def test_ranking_without_an_answer_starts_nothing_and_shows_no_error(choice, module, desktop, tmp_path):
    module.panel.finetune.rank(tmp_path)
    assert len(choice.asked) == 1
    assert not module.panel.finetuningLogic.isRunning and not desktop.errors


def test_jobs_that_use_weights_get_the_chosen_ones(choice, desktop):
    assert choice.withChosenModel({"kind": "segment", "model": None})["model"] is None  # a script is not asked
    _choose(desktop, "other")
    for kind in ("segment", "rank", "explain", "attention", "finetune"):
        assert choice.withChosenModel({"kind": kind}) == {"kind": kind, "model": "other"}
    assert choice.withChosenModel({"kind": "segment", "model": "magpie-s"})["model"] == "magpie-s"
    assert choice.withChosenModel({"kind": "sample"}) == {"kind": "sample"}
    choice.ensureModel()
    assert not choice.asked
    shutil.rmtree(site_versions().folder / "models" / "other")
    assert choice.chosenModel() == "", "the chosen model is not installed any more"


def test_a_version_of_the_site_is_used_without_a_question(choice, module, desktop, models_folder):
    _choose(desktop, "other")
    site_versions().add("ours-1", models_folder / "magpie-s", {"verdict": []})
    site_versions().promote("ours-1", reason="better")
    assert choice.withChosenModel({"kind": "segment"}) == {"kind": "segment"}
    _choose(desktop, "")
    choice.ensureModel()
    assert not choice.asked
    module.panel.model.update()
    ui = module.panel.ui
    assert ui.modelLabel.text.startswith("tiny")
    assert not ui.modelButton.enabled and "roll back" in ui.modelButton.toolTip
    ui.rollBackButton.enabled = True
    ui.rollBackButton.click()
    assert ui.modelButton.enabled and "asked" in ui.modelLabel.text
