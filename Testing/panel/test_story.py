"""The workflow of the panel: study, segmentation, correction, cohort, fine-tuning, rollback, a saved scene."""

from __future__ import annotations

import numpy as np
import pytest

CASES = ("Brats18_CBICA_ABM_1", "Brats18_CBICA_AQO_1", "Brats18_CBICA_ASA_1")
TISSUES = ("Necrotic or non-enhancing core", "Edema or FLAIR hyperintensity", "Enhancing tumor")


def _erase_a_corner(slicer, segmentation, reference):
    """Clear some voxels of each segment, as the eraser does, by the module logic of the editor."""
    segments = segmentation.GetSegmentation()
    for index in range(segments.GetNumberOfSegments()):
        identifier = segments.GetNthSegmentID(index)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, identifier, reference)
        places = np.argwhere(array > 0)
        if len(places) > 20:
            kept = array.copy()
            kept[tuple(places[: len(places) // 5].T)] = 0
            slicer.util.updateSegmentBinaryLabelmapFromArray(kept, segmentation, identifier, reference)


def _load_case(ui, panel, folder):
    panel.study.loadFolder(folder)
    assert ui.t1ceSelector.currentNode().GetName().startswith(folder.name)


@pytest.mark.timeout(1500)
def test_workflow_from_study_to_fine_tuned_model_and_rollback(
    module, desktop, wait, cases_folder, tmp_path, site, monkeypatch
):
    slicer, panel, ui = desktop.slicer, module.panel, module.panel.ui
    logic = panel.finetuningLogic
    finetune = logic.finetune
    monkeypatch.setattr(
        logic, "finetune", lambda cohort, minutes: finetune(cohort, minutes, steps=3, synthetic_studies=0)
    )
    ui.cohortPath.currentPath = str(tmp_path / "cohort")
    for number, name in enumerate(CASES):
        _load_case(ui, panel, cases_folder / "train" / name)
        assert ui.segmentButton.enabled, ui.segmentButton.toolTip
        ui.segmentButton.click()
        assert not ui.segmentButton.enabled and ui.cancelButton.enabled
        wait(lambda: not ui.cancelButton.enabled)
        assert not desktop.errors
        result = panel.segment.result
        assert ui.segmentEditor.segmentationNode() is result.segmentationNode
        assert ui.segmentEditor.sourceVolumeNode() is ui.t1ceSelector.currentNode()
        _erase_a_corner(slicer, result.segmentationNode, result.referenceNode)
        ui.patientEdit.text = f"patient {number}"
        assert not ui.addButton.enabled and "Reviewed" in ui.addButton.toolTip
        ui.reviewedBox.click()
        assert "% of the tumor was changed" in ui.changesLabel.text and not ui.changesLabel.text.startswith("0 ")
        assert ui.addButton.enabled, ui.addButton.toolTip
        ui.addButton.click()
        wait(lambda: ui.finetuneLabel.text.startswith("The case was added") or desktop.errors)
        assert not desktop.errors
        assert ui.casesLabel.text == f"{number + 1} of about 20 cases"
        assert ui.finetuneButton.enabled == (number == 2), ui.finetuneButton.toolTip
    ui.finetuneButton.click()
    assert not ui.finetuneButton.enabled and ui.cancelFinetuneButton.enabled
    assert ui.segmentButton.enabled  # the user can continue to work
    wait(lambda: "ready" in ui.finetuneLabel.text or desktop.errors, 900)
    assert not desktop.errors
    assert "mean Dice" in ui.verdictLabel.text and "before" in ui.verdictLabel.text
    if not ui.promoteButton.enabled:
        assert "reason" in ui.promoteButton.toolTip
        ui.reasonEdit.text = "a test"
    ui.promoteButton.click()
    assert ui.versionLabel.text == "In use: site-1" and ui.rollBackButton.enabled
    ui.rollBackButton.click()
    assert ui.versionLabel.text == "In use: magpie-s" and not ui.rollBackButton.enabled

    milliliters = [ui.resultTable.item(row, 1).text() for row in range(ui.resultTable.rowCount)]
    reviewed = panel.segment.result.reviewed
    assert reviewed
    scene = tmp_path / "scene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(scene))
    slicer.mrmlScene.Clear(0)
    assert panel.segment.result is None and not panel.volumes()
    slicer.mrmlScene.ReadFromMRB(str(scene))
    assert panel.segment.result is not None
    assert [ui.resultTable.item(row, 1).text() for row in range(ui.resultTable.rowCount)] == milliliters
    assert ui.reviewedBox.checked and panel.segment.result.reviewed == reviewed
    assert ui.cohortPath.currentPath == str(tmp_path / "cohort")
    assert panel.segment.result.proposalNode is not None
