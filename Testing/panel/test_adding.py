"""Adding in the panel: the images that were segmented, and a question where something may be a slip."""

from __future__ import annotations

import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.io.discovery import read_study
from magpie_core.io.nifti import read_volume, write_volume
from magpie_core.io.segmentation_file import read_segmentation

NAMES = {"T1": "t1", "T1CE": "t1ce", "T2": "t2", "FLAIR": "flair"}


@pytest.fixture
def study(tmp_path, make_volume):
    """Write the study of a patient."""

    def write(name, seed):
        folder = tmp_path / name
        folder.mkdir()
        for number, modality in enumerate(NAMES.values()):
            write_volume(make_volume(seed=10 * seed + number), folder / f"{modality}.nii.gz")
        return folder

    return write


@pytest.fixture
def asked(desktop, monkeypatch):
    """Questions that were asked, and the answer to all."""
    seen = {"questions": [], "answer": True}

    def ask(text, **_options):
        seen["questions"].append(text)
        return seen["answer"]

    monkeypatch.setattr(desktop.slicer.util, "confirmYesNoDisplay", ask)
    return seen


@pytest.fixture
def tiny(module, tiny_model, monkeypatch, tmp_path, asked):
    """The module with the tiny model and a folder for the cases."""
    start = module.logic.start
    monkeypatch.setattr(
        module.logic, "start", lambda volumes, **options: start(volumes, model=tiny_model, device="cpu", threads=1)
    )
    module.panel.ui.cohortPath.currentPath = str(tmp_path / "cohort")
    return module


def segment(tiny, folder, wait):
    """Segment and review the study of a folder."""
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)
    ui.reviewedBox.click()
    ui.patientEdit.text = folder.name


def ended(ui, desktop):
    """Whether the addition has ended."""
    return lambda: ui.finetuneLabel.text.startswith(("The case was", "Failed")) or desktop.errors


def paint(slicer, result, mask):
    """Let the first segment be the mask, the others empty."""
    segmentation = result.segmentationNode.GetSegmentation()
    for number in range(segmentation.GetNumberOfSegments()):
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            (mask if number == 0 else mask & False).astype(np.uint8),
            result.segmentationNode, segmentation.GetNthSegmentID(number), result.referenceNode,
        )  # fmt: skip


def same_images(tmp_path, folder):
    """Whether the only case of the cohort has the images of a folder."""
    (case,) = Cohort(tmp_path / "cohort").cases()
    images = read_study(case.images, name=case.name)
    return all(
        np.array_equal(volume.data, read_volume(folder / f"{NAMES[modality.value]}.nii.gz").data)
        for modality, volume in images.volumes.items()
    )


def test_the_next_study_cannot_be_added_with_the_outline_of_the_last(tiny, desktop, wait, tmp_path, study):
    one, other = study("A", 1), study("B", 2)
    segment(tiny, one, wait)
    tiny.panel.study.loadFolder(other)
    ui = tiny.panel.ui
    assert not ui.addButton.enabled and "Segment" in ui.addButton.toolTip


def test_the_images_that_were_segmented_are_added_whatever_is_selected(tiny, desktop, wait, tmp_path, study):
    one, other = study("A", 1), study("B", 2)
    segment(tiny, one, wait)
    ui, panel, result = tiny.panel.ui, tiny.panel, tiny.panel.segment.result
    panel.study.loadFolder(other)
    panel.finetune.show(result)  # as if the selection were behind the result that is shown
    ui.addButton.click()
    wait(ended(ui, desktop))
    assert not desktop.errors and same_images(tmp_path, one)


def test_the_selection_may_change_while_the_case_is_added(tiny, desktop, wait, tmp_path, study):
    one, other = study("A", 1), study("B", 2)
    segment(tiny, one, wait)
    ui = tiny.panel.ui
    ui.addButton.click()
    tiny.panel.study.loadFolder(other)
    wait(ended(ui, desktop))
    assert not desktop.errors and same_images(tmp_path, one)


def test_an_image_that_is_gone_is_not_replaced(tiny, desktop, wait, tmp_path, study):
    segment(tiny, study("A", 1), wait)
    panel, result = tiny.panel, tiny.panel.segment.result
    desktop.slicer.mrmlScene.RemoveNode(result.volumes()["FLAIR"])
    panel.finetune.show(result)
    panel.ui.addButton.click()
    assert "not in the scene any more" in desktop.errors[0] and "FLAIR" in desktop.errors[0]


def test_a_case_without_tumor_is_added_after_a_question(tiny, desktop, wait, tmp_path, study, asked):
    segment(tiny, study("A", 1), wait)
    ui, result = tiny.panel.ui, tiny.panel.segment.result
    shape = desktop.slicer.util.arrayFromVolume(result.referenceNode).shape
    paint(desktop.slicer, result, np.zeros(shape, bool))
    asked["questions"].clear()
    asked["answer"] = False
    ui.addButton.click()
    wait(ended(ui, desktop))
    assert "no tumor" in asked["questions"][0] and "--" not in asked["questions"][0]
    assert ui.finetuneLabel.text.startswith("The case was not added") and ui.patientEdit.text == "A"
    assert not desktop.errors and not (tmp_path / "cohort").exists()
    asked["answer"] = True
    ui.addButton.click()
    wait(ended(ui, desktop))
    (case,) = Cohort(tmp_path / "cohort").cases()
    assert not read_segmentation(case.labels).labels.any() and "The case was added" in ui.finetuneLabel.text


def test_tissue_outside_of_the_brain_is_asked_about_and_milliliters_are_said(tiny, desktop, wait, study, asked):
    segment(tiny, study("A", 1), wait)
    ui, result = tiny.panel.ui, tiny.panel.segment.result
    mask = np.zeros(desktop.slicer.util.arrayFromVolume(result.referenceNode).shape, bool)
    mask[:5, :5, :5] = True
    paint(desktop.slicer, result, mask)
    asked["questions"].clear()
    ui.addButton.click()
    wait(ended(ui, desktop))
    assert "outside of the brain" in asked["questions"][0]
    assert "ml" in ui.finetuneLabel.text.splitlines()[1]


def test_the_same_change_has_the_same_percentage_everywhere(tiny, desktop, wait, tmp_path, study):
    segment(tiny, study("A", 1), wait)
    ui, result = tiny.panel.ui, tiny.panel.segment.result
    volume, node = result.referenceNode, result.segmentationNode
    first = node.GetSegmentation().GetNthSegmentID(0)
    mask = desktop.slicer.util.arrayFromSegmentBinaryLabelmap(node, first, volume).copy()
    mask[tuple(np.argwhere(mask)[0])] = 0
    desktop.slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, first, volume)
    ui.changesButton.click()
    ui.addButton.click()
    wait(ended(ui, desktop))
    (case,) = Cohort(tmp_path / "cohort").cases()
    assert 0 < case.edited < 0.005
    for label in (ui.changesLabel, ui.finetuneLabel):
        assert "<1 % of the tumor was changed." in label.text
