"""Every button of the panel pressed, every disabled one explained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from magpie_core.errors import ResourceError
from magpie_core.imaging.modality import Modality
from magpie_core.io.nifti import write_volume

HERE = Path(__file__).resolve().parent
NAMES = {"T1": "t1", "T1CE": "t1c", "T2": "t2", "FLAIR": "flair"}


@pytest.fixture
def folder(tmp_path, make_study):
    """A phantom study in a folder."""
    place = tmp_path / "patient 7"
    place.mkdir()
    for modality, volume in make_study().volumes.items():
        write_volume(volume, place / f"{NAMES[modality.value]}.nii.gz")
    return place


@pytest.fixture
def tiny(module, tiny_model, monkeypatch):
    """Segment with the tiny model."""
    start = module.logic.start
    monkeypatch.setattr(
        module.logic,
        "start",
        lambda volumes, **options: start(volumes, model=tiny_model, device="cpu", threads=1),
    )
    return module


def _buttons(ui):
    return {
        name: widget
        for name, widget in vars(ui).items()
        if name.endswith(("Button", "Box")) and hasattr(widget, "toolTip")
    }


def test_an_empty_scene_explains_every_button_that_cannot_be_pressed(module):
    ui = module.panel.ui
    assert ui.studyLabel.text == "Choose the images of one examination."
    for name, widget in _buttons(ui).items():
        assert widget.toolTip, name
    closed = {name for name, widget in _buttons(ui).items() if not widget.enabled}
    assert closed == {
        "segmentButton", "cancelButton", "show3DBox", "diametersBox", "preparationButton", "changesButton",
        "ratingButton", "reviewedBox", "addButton",
        "teachButton", "teachCancelButton", "promoteButton", "keepButton", "rollBackButton",
    }  # fmt: skip
    assert ui.casesLabel.text == "0 of about 20 cases"
    assert ui.versionLabel.text == "In use: magpie-s"
    assert ui.segmentEditor.undo_states >= 5


def test_a_folder_is_loaded_named_chosen_and_shown(module, desktop, folder):
    ui = module.panel.ui
    module.panel.study.loadFolder(folder)
    chosen = {name: node.GetName() for name, node in module.panel.volumes().items()}
    assert chosen == {
        "T1": "patient 7 T1", "T1CE": "patient 7 T1ce", "T2": "patient 7 T2", "FLAIR": "patient 7 FLAIR",
    }  # fmt: skip
    assert desktop.background is ui.t1ceSelector.currentNode()
    assert ui.segmentButton.enabled and ui.studyLabel.text == ""
    node = ui.t1Selector.currentNode()
    hierarchy = desktop.slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(desktop.slicer.mrmlScene)
    if hierarchy is not None and hierarchy.GetItemByDataNode(node):
        assert (
            hierarchy.GetItemName(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))) == "patient 7"
        )


def test_a_folder_without_images_is_told(module, desktop, tmp_path):
    (tmp_path / "nothing").mkdir()
    module.panel.study.loadFolder(tmp_path / "nothing")
    assert desktop.errors and "nothing" in desktop.errors[0]


def test_dicom_patients_are_chosen_in_slicers_own_browser(module, desktop):
    module.panel.ui.dicomButton.click()
    assert desktop.modules == ["DICOM"]


def test_a_folder_of_dicom_files_is_read_by_the_worker(module, desktop, tmp_path, make_study, wait):
    from dicom_files import TIMES, write_series

    for number, (modality, volume) in enumerate(make_study().volumes.items(), 1):
        write_series(
            volume,
            tmp_path / "PAT 1" / "S",
            number=number,
            description=NAMES[modality],
            **TIMES[modality.value],
        )
    module.panel.study.loadFolder(tmp_path / "PAT 1")
    assert "Reading" in module.panel.ui.studyLabel.text
    wait(lambda: module.panel.volumes(), 60)
    assert not desktop.errors
    chosen = {name: node.GetName() for name, node in module.panel.volumes().items()}
    assert chosen["T1CE"] == "PAT_1 T1ce" and set(chosen) == {"T1", "T1CE", "T2", "FLAIR"}


def test_a_faulty_dicom_folder_is_told_once(module, desktop, tmp_path, make_study, wait):
    from dicom_files import write_series

    write_series(make_study().volumes[Modality.T1], tmp_path / "a", description="T1", skip=(5,))
    module.panel.study.loadFolder(tmp_path / "a")
    wait(lambda: desktop.errors, 60)
    assert len(desktop.errors) == 1 and "is missing in the series" in desktop.errors[0]


@pytest.mark.parametrize("answer", [True, False])
def test_exchanged_modalities_are_asked_about_and_never_exchanged_silently(
    tiny, desktop, folder, wait, monkeypatch, answer
):
    panel, asked = tiny.panel, []
    monkeypatch.setattr(
        desktop.slicer.util,
        "confirmYesNoDisplay",
        lambda text, **_: (asked.append(text), answer)[1],
        raising=False,
    )
    panel.study.loadFolder(folder)
    before = {name: node.GetName() for name, node in panel.volumes().items()}
    panel.ui.segmentButton.click()
    wait(lambda: not panel.ui.cancelButton.enabled, 120)
    assert asked == []
    result = panel.segment.result
    result.report["suspected_swap"] = {"T1": "T2", "T2": "T1"}
    panel.segment._askForExchange(result)
    assert "T1 looks like T2" in asked[0]
    after = {name: node.GetName() for name, node in panel.volumes().items()}
    if answer:
        assert (after["T1"], after["T2"]) == (before["T2"], before["T1"])
        assert panel.ui.cancelButton.enabled  # it looks again
        wait(lambda: not panel.ui.cancelButton.enabled, 120)
    else:
        assert after == before


def test_the_picture_of_the_preparation_can_be_seen(tiny, desktop, folder, wait, monkeypatch):
    from dataclasses import replace

    panel = tiny.panel
    panel.study.loadFolder(folder)
    panel.ui.segmentButton.click()
    wait(lambda: not panel.ui.cancelButton.enabled, 120)
    assert not panel.ui.preparationButton.enabled and "nothing to see" in panel.ui.preparationButton.toolTip
    picture = HERE.parents[1] / "Resources" / "Icons" / "MAGPIE.png"
    panel.segment._showResult(replace(panel.segment.result, preparation=str(picture)))
    assert panel.ui.preparationButton.enabled
    panel.ui.preparationButton.click()


def test_diameters_are_drawn_as_they_are_measured_and_taken_away(tiny, desktop, folder, wait):
    panel = tiny.panel
    panel.study.loadFolder(folder)
    panel.ui.segmentButton.click()
    wait(lambda: not panel.ui.cancelButton.enabled, 120)
    panel.ui.diametersBox.click()
    lines = desktop.slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
    measured = panel.segment.result.report["diameters_mm"]
    words = {"WT": "Whole tumor", "TC": "Tumor core", "ET": "Enhancing tumor"}
    lengths = {}
    for line in lines:
        first, second = (np.array(line.GetNthControlPointPositionWorld(index)) for index in range(2))
        lengths[line.GetName()] = np.linalg.norm(first - second)
    assert not desktop.errors
    for region, values in measured.items():
        if values is not None:
            assert lengths[f"{words[region]}, longest"] == pytest.approx(values[0], abs=0.1)
            assert lengths[f"{words[region]}, across"] == pytest.approx(values[1], abs=0.1)
    panel.ui.diametersBox.click()
    assert not desktop.slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")


def test_a_volume_chosen_twice_cannot_be_segmented_and_the_button_says_why(module, folder):
    ui = module.panel.ui
    module.panel.study.loadFolder(folder)
    ui.t2Selector.setCurrentNode(ui.t1Selector.currentNode())
    assert not ui.segmentButton.enabled
    assert ui.studyLabel.text == ui.segmentButton.toolTip == "patient 7 T1 is chosen as T1 and as T2."


def test_cancel_ends_it_and_nothing_is_changed(tiny, desktop, folder, wait):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    ui.segmentButton.click()
    assert not ui.folderButton.enabled and "Wait" in ui.folderButton.toolTip
    ui.cancelButton.click()
    wait(lambda: ui.statusLabel.text == "Cancelled")
    assert not desktop.errors and ui.segmentButton.enabled and not ui.cancelButton.enabled
    assert tiny.panel.segment.result is None


def test_after_a_cancel_the_result_of_before_is_shown_again(tiny, desktop, folder, wait):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)
    before, rows = tiny.panel.segment.result, ui.resultTable.rowCount
    ui.segmentButton.click()
    assert tiny.panel.segment.result is None
    ui.cancelButton.click()
    wait(lambda: ui.statusLabel.text == "Cancelled")
    assert tiny.panel.segment.result is before and ui.resultTable.rowCount == rows
    assert ui.changesButton.enabled and not desktop.errors


def test_reviewed_is_noted_and_can_be_taken_back(tiny, folder, wait, monkeypatch):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)
    result = tiny.panel.segment.result
    ui.changesButton.click()
    assert ui.changesLabel.text == "0 % of the tumor was changed."
    ui.reviewedBox.click()
    assert result.reviewed
    ui.reviewedBox.click()
    assert not result.reviewed
    monkeypatch.setattr(tiny.panel.correct._toolbox, "askRating", lambda: 4)
    ui.ratingButton.click()
    assert result.rating == 4 and "4 of 5" in ui.changesLabel.text
    ui.show3DBox.click()
    name = "Closed surface"
    assert result.segmentationNode.GetSegmentation().ContainsRepresentation(name)
    ui.show3DBox.click()
    assert not result.segmentationNode.GetSegmentation().ContainsRepresentation(name)


def test_a_case_needs_a_review_a_folder_and_a_patient_and_is_taken_once(
    tiny, desktop, folder, wait, tmp_path
):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    assert "segmented" in ui.addButton.toolTip
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)
    assert "Reviewed" in ui.addButton.toolTip
    ui.reviewedBox.click()
    assert "folder" in ui.addButton.toolTip
    ui.cohortPath.currentPath = str(tmp_path / "cases")
    assert "patient" in ui.addButton.toolTip.lower()
    ui.patientEdit.text = "4711"
    ui.addButton.click()
    wait(lambda: ui.teachLabel.text.startswith("The case was added"))
    assert ui.patientEdit.text == "" and ui.casesLabel.text == "1 of about 20 cases"
    assert "3" in ui.teachButton.toolTip and not ui.teachButton.enabled
    ui.patientEdit.text = "4712"
    ui.addButton.click()
    wait(lambda: desktop.errors)
    assert ui.casesLabel.text == "1 of about 20 cases"


def test_a_folder_that_holds_something_else_is_no_cohort(module, folder):
    ui = module.panel.ui
    ui.cohortPath.currentPath = str(folder)
    assert "does not hold" in ui.casesLabel.text
    assert not ui.teachButton.enabled


def test_studies_are_ranked_and_loaded_by_a_double_click(
    module, make_study, tmp_path, wait, tiny_model, monkeypatch
):
    rank = module.panel._teaching.ranking.start
    monkeypatch.setattr(
        module.panel._teaching.ranking, "start", lambda job: rank(job | {"model": str(tiny_model)})
    )
    for name in ("first", "second"):
        (tmp_path / "archive" / name).mkdir(parents=True)
        for modality, volume in make_study(Modality.T1CE, Modality.FLAIR).volumes.items():
            write_volume(volume, tmp_path / "archive" / name / f"{NAMES[modality.value]}.nii.gz")
    ui = module.panel.ui
    module.panel.teach.rank(tmp_path / "archive")
    assert not ui.rankButton.enabled
    wait(lambda: ui.rankTable.rowCount == 2)
    assert "ranked" in ui.teachLabel.text and ui.rankButton.enabled
    ui.rankTable.cellDoubleClicked.emit(0, 0)
    assert set(module.panel.volumes()) == {"T1CE", "FLAIR"}


def test_the_computer_is_checked(module, wait):
    ui = module.panel.ui
    ui.checkButton.click()
    wait(lambda: "threads" in ui.checkLabel.text)


def test_a_dead_worker_is_told_and_the_next_press_works(tiny, desktop, folder, wait):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    ui.segmentButton.click()
    wait(lambda: tiny.logic.port._client.pid is not None)
    os.kill(tiny.logic.port._client.pid, signal.SIGKILL)
    wait(lambda: desktop.errors)
    assert ui.statusLabel.text == "Not done"
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)


def test_segments_of_another_meaning_or_twice_the_same_are_refused(tiny, desktop, folder, wait):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)
    result = tiny.panel.segment.result
    segmentation = result.segmentationNode.GetSegmentation()
    identifier = segmentation.AddEmptySegment("", "mine", [1, 0, 0])
    mask = np.zeros(desktop.slicer.util.arrayFromVolume(result.referenceNode).shape, np.uint8)
    mask[10:12, 10:12, 10:12] = 1
    desktop.slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask, result.segmentationNode, identifier, result.referenceNode
    )
    ui.changesButton.click()
    assert "mine" in desktop.errors[0]


def test_a_screenshot_of_each_section(module, folder, tmp_path):
    from PySide6 import QtWidgets

    ui = module.panel.ui
    module.panel.study.loadFolder(folder)
    for name in ("studySection", "segmentSection", "correctSection", "teachSection", "computerSection"):
        section = getattr(ui, name)
        section.collapsed = False
        picture = QtWidgets.QWidget.grab(section)
        assert picture.save(str(tmp_path / f"{name}.png")) and picture.width() > 100


def test_a_missing_modality_is_remarked_and_does_not_stop(module, folder):
    ui = module.panel.ui
    module.panel.study.loadFolder(folder)
    ui.t2Selector.setCurrentNode(None)
    assert "Without T2" in ui.studyLabel.text
    ui.t1ceSelector.setCurrentNode(None)
    assert ui.studyLabel.text.startswith("Without T1 with contrast no enhancing tumor is outlined")
    assert "Without T2" in ui.studyLabel.text
    assert ui.segmentButton.enabled


def test_choosing_by_name_keeps_what_the_user_chose(module, folder):
    ui = module.panel.ui
    module.panel.study.loadFolder(folder)
    first, flair = ui.t1Selector.currentNode(), ui.flairSelector.currentNode()
    for selector, node in ((ui.t1Selector, None), (ui.flairSelector, None), (ui.t2Selector, flair)):
        selector.setCurrentNode(node)
    ui.assignButton.click()
    assert ui.t2Selector.currentNode() is flair
    assert ui.t1Selector.currentNode() is first
    assert ui.flairSelector.currentNode() is None


def test_a_fault_is_shown_with_the_volumes_name(tiny, desktop, folder, wait):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    desktop.slicer.util.arrayFromVolume(ui.t2Selector.currentNode())[:] = np.float32(3)
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)
    (text,) = desktop.errors
    assert text.startswith("patient 7 T2: ")
    assert ui.statusLabel.text == "Not done" and ui.segmentButton.enabled


def test_a_volume_that_cannot_be_used_is_told_at_once(module, desktop, folder):
    ui = module.panel.ui
    module.panel.study.loadFolder(folder)
    desktop.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    ui.t2Selector.setCurrentNode(desktop.slicer.util.getFirstNodeByName("empty"))
    ui.segmentButton.click()
    assert "empty" in desktop.errors[0]
    assert not module.logic.isRunning and ui.segmentButton.enabled


def test_what_is_missing_is_installed_first_and_a_refusal_is_told(module, desktop, folder):
    class Refused:
        def isComplete(self, **options):  # noqa: N802
            return False

        def install(self, **options):
            raise ResourceError("The installation was declined")

    ui = module.panel.ui
    module.panel._installLogic = Refused()
    module.panel.study.loadFolder(folder)
    assert desktop.errors == ["The installation was declined."]
    ui.sampleButton.click()
    ui.checkButton.click()
    assert len(desktop.errors) == 3


@pytest.mark.timeout(600)
def test_a_sample_study_is_made_on_the_spot(module, desktop, wait, anatomy_folder):
    ui = module.panel.ui
    ui.sampleButton.click()
    assert not ui.sampleButton.enabled
    wait(lambda: ui.sampleButton.enabled, 300)
    assert not desktop.errors
    assert set(module.panel.volumes()) == {"T1", "T1CE", "T2", "FLAIR"}


def test_slicers_process_never_loads_torch(folder, tiny_model, tmp_path):
    code = """
        import sys, time, types
        from pathlib import Path
        here, folder, model, scratch = map(Path, sys.argv[1:])
        sys.path[:0] = [str(here), str(here.parent / "slicer"), str(here.parents[1] / "MagpieSegmentation")]
        from slicer_core_app import start_slicer
        slicer = start_slicer(scratch)
        import desktop
        patch = types.SimpleNamespace(setattr=lambda o, n, v, raising=True: setattr(o, n, v),
                                      setitem=lambda d, k, v: d.__setitem__(k, v))
        shown = desktop.install(slicer, patch)
        widget = desktop.open_module(slicer, here.parents[1] / "MagpieSegmentation" / "MagpieSegmentation.py")
        panel, ui = widget.panel, widget.panel.ui
        panel._prepare = panel.study._prepare = panel.segment._prepare = panel.teach._prepare = lambda **_: None
        start = widget.logic.start
        widget.logic.start = lambda volumes, **_: start(volumes, model=model, device="cpu", threads=1)
        panel.study.loadFolder(folder)
        def press(button, done):
            button.click()
            end = time.monotonic() + 120
            while not done() and time.monotonic() < end:
                desktop.application.processEvents()
                time.sleep(0.01)
            assert done(), shown.errors
        press(ui.segmentButton, lambda: panel.segment.result is not None)
        ui.reviewedBox.click()
        ui.cohortPath.currentPath = str(scratch / "cases")
        ui.patientEdit.text = "4711"
        press(ui.addButton, lambda: ui.casesLabel.text.startswith("1 "))
        assert not shown.errors, shown.errors
        widget.cleanup()
        print(sorted({"torch", "monai", "matplotlib"} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), HERE, folder, tiny_model, tmp_path / "scratch"],
        capture_output=True,
        text=True,
        env=os.environ | {"MAGPIE_SITE": str(tmp_path / "site"), "PYTHONPATH": str(HERE.parents[1])},
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr[-3000:]
