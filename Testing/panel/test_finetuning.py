"""The section Fine-tune: when it can be pressed, what the user does meanwhile, and what becomes of the new version."""

from __future__ import annotations

import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.models.versions import VersionStore

_JOB = 1
_SENTENCES = ["Rejected: mean Dice 0.800 before, 0.790 after"]


@pytest.fixture
def add_case(tmp_path, make_study):
    """Adds a case of a patient to the cohort of this test."""
    cohort = Cohort.create(tmp_path / "cohort")

    def add(patient, seed):
        study = make_study(Modality.T1CE, Modality.FLAIR, patient=seed)
        volume = study.volumes[study.reference]
        labels = np.zeros(volume.shape, np.uint8)
        labels[8:14, 16:22, 10 : 12 + seed] = 3
        cohort.add(study, Segmentation(labels, volume.affine, label_schema("magpie")), patient=patient, user="Ada")

    return add


@pytest.fixture
def training(module, monkeypatch):
    """Starts of a fine-tuning, which computes nothing here."""
    task, started = module.panel.finetuningLogic.finetuning, []

    def start(job):
        started.append(job)
        task._job = _JOB

    monkeypatch.setattr(task, "start", start)
    yield started
    task._job = None


def _tell(module, **message):
    module.panel.finetuningLogic.finetuning._onMessage({"id": _JOB, **message})


def test_fine_tuning_needs_three_cases_of_two_patients(module, add_case, tmp_path):
    ui = module.panel.ui
    for number, (patient, allowed) in enumerate((("1", False), ("1", False), ("1", False), ("2", True)), 1):
        add_case(patient, number)
        ui.cohortPath.currentPath = ""
        ui.cohortPath.currentPath = str(tmp_path / "cohort")
        assert ui.casesLabel.text == f"{number} of about 20 cases"
        assert ui.finetuneButton.enabled == allowed, ui.finetuneButton.toolTip
        assert ("of one patient" in ui.finetuneButton.toolTip) == (number == 3)


def test_new_version_is_used_for_a_reason_and_rolled_back_while_the_user_works_on(
    module, desktop, add_case, training, site, tiny_model, tmp_path
):
    ui, panel = module.panel.ui, module.panel
    for number in (1, 2, 3):
        add_case(str(number), number)
    ui.cohortPath.currentPath = str(tmp_path / "cohort")
    node = desktop.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "t1c")
    ui.t1ceSelector.setCurrentNode(node)
    ui.minutesBox.value = 7
    ui.finetuneButton.click()
    assert training[0]["minutes"] == 7 and training[0]["cohort"] == str(tmp_path / "cohort")
    assert not ui.finetuneButton.enabled and "running" in ui.finetuneButton.toolTip and ui.cancelFinetuneButton.enabled
    assert ui.segmentButton.enabled
    _tell(module, type="progress", fraction=0.4, stage="Fold 2 of 3")
    assert ui.finetuneBar.value == 40 and ui.finetuneLabel.text == "Fold 2 of 3"
    VersionStore(site).add("site-1", tiny_model, {"verdict": _SENTENCES})
    _tell(module, type="result", version="site-1", accepted=False, sentences=_SENTENCES)
    assert "ready: site-1" in ui.finetuneLabel.text and ui.verdictLabel.text == _SENTENCES[0]
    assert ui.finetuneButton.enabled and not ui.cancelFinetuneButton.enabled
    assert not ui.promoteButton.enabled and "reason" in ui.promoteButton.toolTip
    ui.reasonEdit.text = "a test"
    ui.promoteButton.click()
    assert ui.versionLabel.text == "In use: site-1" and not ui.promoteButton.enabled
    ui.rollBackButton.click()
    assert ui.versionLabel.text == "In use: magpie-s" and not ui.rollBackButton.enabled
    assert not desktop.errors and panel.isBound


def test_missing_packages_are_not_taken_for_a_folder_of_something_else(module, monkeypatch, tmp_path):
    def fail(_folder):
        raise ModuleNotFoundError("No module named 'nibabel'")

    monkeypatch.setattr(module.panel.finetuningLogic, "cases", fail)
    module.panel.ui.cohortPath.currentPath = str(tmp_path)
    assert (
        "packages" in module.panel.ui.casesLabel.text and "not a MAGPIE cohort" not in module.panel.ui.casesLabel.text
    )
