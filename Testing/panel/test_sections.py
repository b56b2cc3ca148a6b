"""Every button of the Segmentation module: what it does, and why it is disabled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from magpie_core.errors import Cancelled
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
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
def tiny(module, desktop, tiny_model, monkeypatch):
    """The module with the tiny model; its user says yes to every question."""
    monkeypatch.setattr(desktop.slicer.util, "confirmYesNoDisplay", lambda text, **_: True)
    start = module.logic.start
    monkeypatch.setattr(
        module.logic, "start", lambda volumes, **options: start(volumes, model=tiny_model, device="cpu", threads=1)
    )
    return module


def _buttons(ui):
    return {
        name: widget
        for name, widget in vars(ui).items()
        if name.endswith(("Button", "Box")) and hasattr(widget, "toolTip")
    }


def test_disabled_buttons_give_the_reason_in_an_empty_scene(module):
    ui = module.panel.ui
    assert ui.studyLabel.text == "Choose the images of one examination."
    for name, widget in _buttons(ui).items():
        assert widget.toolTip, name
    closed = {name for name, widget in _buttons(ui).items() if not widget.enabled}
    assert closed == {
        "segmentButton", "cancelButton", "show3DBox", "outlineBox", "diametersBox", "preprocessingButton",
        "changesButton",
        "ratingButton", "reviewedBox", "addButton",
        "finetuneButton", "cancelFinetuneButton", "promoteButton", "keepButton", "rollBackButton",
    }  # fmt: skip
    assert ui.casesLabel.text == "0 of about 20 cases"
    assert ui.versionLabel.text == "In use: magpie-s"
    assert ui.segmentEditor.undo_states >= 5


def test_load_folder_names_selects_and_shows_the_volumes(module, desktop, folder):
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
        assert hierarchy.GetItemName(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))) == "patient 7"


def test_load_folder_without_images_shows_an_error(module, desktop, tmp_path):
    (tmp_path / "nothing").mkdir()
    module.panel.study.loadFolder(tmp_path / "nothing")
    assert desktop.errors and "nothing" in desktop.errors[0]


def test_minutes_keep_their_range_and_are_stored_in_the_parameter_node(module, desktop):
    box = module.panel.ui.minutesBox
    assert (box.minimum, box.maximum, box.value) == (1, 1440, 90)
    box.value = 5000
    node = module.logic.getParameterNode()
    assert box.value == 1440 and node.GetParameter("minutes") == "1440"
    node.SetParameter("minutes", "30")
    assert box.value == 30


def test_exit_deactivates_the_editor_and_enter_restores_the_shortcuts(module):
    editor = module.panel.ui.segmentEditor
    assert editor.has_shortcuts
    module.exit()
    assert editor.active_effect is None and not editor.has_shortcuts and not editor.observes_views
    module.enter()
    assert editor.has_shortcuts


def test_effect_that_is_registered_later_is_offered_until_the_module_is_closed(module, desktop, monkeypatch):
    updates = []
    monkeypatch.setattr(module.panel.ui.segmentEditor, "updateEffectList", lambda: updates.append(1), raising=False)
    factory = desktop.slicer.qSlicerSegmentEditorEffectFactory.instance()
    factory.effectRegistered.emit("Watershed")
    assert len(updates) == 1
    module.panel.correct.close()
    factory.effectRegistered.emit("Margin")
    assert len(updates) == 1
    module.panel.correct._effects.connect("effectRegistered(QString)", module.panel.correct.onEffectRegistered)


def test_folder_of_cases_outlives_the_scene_and_slicer(module, desktop, tmp_path):
    import desktop as stand_in

    folder = str(tmp_path / "cases")
    module.panel.ui.cohortPath.currentPath = folder
    desktop.slicer.mrmlScene.Clear(0)
    module.enter()
    assert module.panel.ui.cohortPath.currentPath == folder
    next_one = stand_in.open_module(desktop.slicer, HERE.parents[1] / "MagpieSegmentation" / "MagpieSegmentation.py")
    assert next_one.panel.ui.cohortPath.currentPath == folder
    next_one.cleanup()


def test_panel_is_bound_between_enter_and_exit_and_the_modules_test_fails_without(module, desktop, monkeypatch):
    assert module.panel.isBound
    module.exit()
    assert not module.panel.isBound
    monkeypatch.setattr(desktop.slicer.util, "getModuleWidget", lambda name: module, raising=False)
    monkeypatch.setattr(module.panel, "enter", lambda node: None)  # as after a setup() that raised
    with pytest.raises(AssertionError):
        sys.modules["MagpieSegmentation"].MagpieSegmentationTest().runTest()


def test_reload_imports_the_library_anew(module, monkeypatch):
    seen = []
    base = sys.modules["MagpieSegmentation"].ScriptedLoadableModuleWidget
    monkeypatch.setattr(
        base, "onReload", lambda self: seen.append([name for name in sys.modules if "MagpieSegmentationLib" in name])
    )
    assert "MagpieSegmentationLib.Panel" in sys.modules
    modules = dict(sys.modules)
    module.onReload()
    sys.modules.update(modules)
    assert seen == [[]]


def test_enter_assigns_volumes_that_were_loaded_in_another_module(module, desktop, folder):
    assert not module.panel.volumes()
    module.exit()
    for name in NAMES.values():
        desktop.slicer.modules.volumes.logic().AddArchetypeVolume(str(folder / f"{name}.nii.gz"), name, 0)
    module.enter()
    assert {name: node.GetName() for name, node in module.panel.volumes().items()} == NAMES


def test_display_names_are_those_of_the_package(module, desktop):
    from MagpieSegmentationLib.SegmentationResult import regionNames

    from magpie_core.imaging.glioma import Region, Tissue

    ui = module.panel.ui
    for modality in GLIOMA_MODALITIES:
        name = modality.value.lower()
        assert getattr(ui, f"{name}Label").text == f"{modality.label}:"
        assert getattr(ui, f"{name}Selector").accessibleName == modality.label
    parts = (Region.WT, Region.TC, Region.ET, Tissue.NCR, Tissue.ED)
    assert regionNames() == {part.value: part.label for part in parts}


def test_dicom_button_enters_the_dicom_module(module, desktop):
    module.panel.ui.dicomButton.click()
    assert desktop.modules == ["DICOM"]


def test_load_folder_reads_dicom_files_in_the_worker(module, desktop, tmp_path, make_study, wait):
    from dicom_files import TIMES, write_series

    for number, (modality, volume) in enumerate(make_study().volumes.items(), 1):
        write_series(
            volume, tmp_path / "PAT 1" / "S", number=number, description=NAMES[modality], **TIMES[modality.value]
        )
    module.panel.study.loadFolder(tmp_path / "PAT 1")
    assert "Reading" in module.panel.ui.studyLabel.text
    wait(lambda: module.panel.volumes(), 60)
    assert not desktop.errors
    chosen = {name: node.GetName() for name, node in module.panel.volumes().items()}
    assert chosen["T1CE"] == "PAT_1 T1ce" and set(chosen) == {"T1", "T1CE", "T2", "FLAIR"}


def test_images_found_tells_what_became_of_each_image_of_the_folder(
    module, desktop, folder, tmp_path, make_study, wait
):
    import qt
    from dicom_files import write_series

    button = module.panel.ui.foundButton
    assert not button.isVisibleTo(button.parent())
    (folder / "report.nii.gz").write_bytes(b"")
    module.panel.study.loadFolder(folder)
    assert button.isVisibleTo(button.parent())
    rows = {row["image"]: row["use"] for row in module.panel.study.found}
    assert rows == {**{f"{name}.nii.gz": "used" for name in NAMES.values()}, "report.nii.gz": "set aside"}
    button.click()
    dialog = button.window().findChild(qt.QDialog)
    assert dialog.isVisible() and dialog.windowTitle == "Images found"
    table = dialog.findChild(qt.QTableWidget)
    texts = [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount)]
    assert ["report.nii.gz", "not used", "its name states no modality"] in texts
    assert any(text[1] == "used as T1ce" for text in texts)
    dialog.close()
    for number, (modality, volume) in enumerate(make_study().volumes.items(), 1):
        write_series(volume, tmp_path / "PAT", number=number, description=f"AX {modality.value}")
    module.panel.study.loadFolder(tmp_path / "PAT")
    wait(lambda: len(module.panel.study.found) == 4, 60)
    assert all(row["image"].startswith("series ") for row in module.panel.study.found)
    module.panel.closeScene()
    assert not module.panel.study.found and not desktop.errors


def test_formats_that_slicer_does_not_read_are_read_by_the_worker(module, desktop, tmp_path, make_study, wait):
    import nibabel

    study = make_study()
    for modality, volume in study.volumes.items():
        nibabel.save(nibabel.MGHImage(volume.data, volume.affine), tmp_path / f"{NAMES[modality]}.mgz")
    module.panel.study.loadFolder(tmp_path)
    wait(lambda: module.panel.volumes(), 60)
    assert set(module.panel.volumes()) == {modality.value for modality in study.volumes} and not desktop.errors


def test_what_only_the_user_can_say_of_dicom_series_is_a_warning(module, desktop, tmp_path, make_study, wait):
    from dicom_files import TIMES, write_series

    for number, modality in enumerate((Modality.T1, Modality.T2, Modality.FLAIR), 1):
        tags = {**TIMES[modality.value], "ContrastBolusAgent": "Gadovist"}
        volume = make_study().volumes[modality]
        write_series(volume, tmp_path / "PAT" / "S", number=number, description=f"AX {modality.value}", **tags)
    module.panel.study.loadFolder(tmp_path / "PAT")
    wait(lambda: module.panel.volumes(), 60)
    assert not desktop.errors
    assert "before or after contrast" in module.panel.ui.studyLabel.text


def test_load_folder_shows_one_error_for_an_incomplete_dicom_series(module, desktop, tmp_path, make_study, wait):
    from dicom_files import write_series

    write_series(make_study().volumes[Modality.T1], tmp_path / "a", description="T1", skip=(5,))
    module.panel.study.loadFolder(tmp_path / "a")
    wait(lambda: desktop.errors, 60)
    assert len(desktop.errors) == 1 and "is missing in the series" in desktop.errors[0]


@pytest.mark.parametrize("answer", [True, False])
def test_suspected_modality_swap_needs_confirmation(tiny, desktop, folder, wait, monkeypatch, answer):
    panel, asked = tiny.panel, []
    monkeypatch.setattr(
        desktop.slicer.util, "confirmYesNoDisplay", lambda text, **_: (asked.append(text), answer)[1], raising=False
    )
    panel.study.loadFolder(folder)
    before = {name: node.GetName() for name, node in panel.volumes().items()}
    panel.ui.segmentButton.click()
    wait(lambda: not panel.ui.cancelButton.enabled, 120)
    desktop.slicer.app.processEvents()  # the question about this result, if there is one, comes after it is shown
    assert asked == []
    result = panel.segment.result
    result.report["suspected_swap"] = {"T1": "T2", "T2": "T1"}
    panel.segment.confirmModalitySwap(result)
    assert "T1 looks like T2" in asked[0]
    after = {name: node.GetName() for name, node in panel.volumes().items()}
    if answer:
        assert (after["T1"], after["T2"]) == (before["T2"], before["T1"])
        assert panel.ui.cancelButton.enabled  # it segments again
        wait(lambda: not panel.ui.cancelButton.enabled, 120)
    else:
        assert after == before


def test_preprocessing_button_shows_the_picture(tiny, desktop, folder, wait, monkeypatch):
    from dataclasses import replace

    from MagpieSegmentationLib import SegmentSection

    shown, show = [], SegmentSection.showPicture
    monkeypatch.setattr(SegmentSection, "showPicture", lambda *given: shown.append(show(*given)))
    panel = tiny.panel
    panel.study.loadFolder(folder)
    panel.ui.segmentButton.click()
    wait(lambda: not panel.ui.cancelButton.enabled, 120)
    assert not panel.ui.preprocessingButton.enabled and "needed neither" in panel.ui.preprocessingButton.toolTip
    picture = HERE.parents[1] / "Resources" / "Icons" / "MAGPIE.png"
    panel.segment.showResult(replace(panel.segment.result, preprocessingPicture=str(picture)))
    assert panel.ui.preprocessingButton.enabled
    panel.ui.preprocessingButton.click()
    (dialog,) = shown
    assert dialog.isVisible() and dialog.windowTitle == "Co-registration and brain mask"
    dialog.close()


@pytest.mark.parametrize(("side", "ratio"), [(200, 1), (200, 2), (3000, 1)])
def test_picture_is_shown_pixel_by_pixel_and_scrolls_if_it_is_large(module, tmp_path, monkeypatch, side, ratio):
    from MagpieSegmentationLib.PictureDialog import showPicture
    from PySide6 import QtGui, QtWidgets

    QtGui.QImage(side, side, QtGui.QImage.Format.Format_RGB32).save(str(tmp_path / "picture.png"))
    monkeypatch.setattr(QtWidgets.QDialog, "devicePixelRatioF", lambda dialog: ratio)
    dialog = showPicture(tmp_path / "picture.png", "a title")
    area = dialog.findChild(QtWidgets.QScrollArea)
    assert dialog.isVisible() and dialog.windowTitle == "a title"
    assert area.widget().size.toTuple() == (side / ratio, side / ratio)
    bars = [area.horizontalScrollBar(), area.verticalScrollBar()]
    assert [bar.isVisible() for bar in bars] == [side > 1000] * 2
    assert dialog.width <= 1100 and dialog.height <= 900
    dialog.close()


def test_images_that_are_being_read_are_dropped_when_the_scene_closes(module, desktop, tmp_path, make_study, wait):
    from dicom_files import write_series

    write_series(make_study().volumes[Modality.T1], tmp_path / "PAT", description="T1")
    module.panel.study.loadFolder(tmp_path / "PAT")
    desktop.slicer.mrmlScene.Clear(0)
    assert module.panel.ui.folderButton.enabled
    module.panel.ui.checkButton.click()  # the worker does one job after the other
    wait(lambda: "threads" in module.panel.ui.checkLabel.text)
    assert not desktop.slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") and not desktop.errors


def test_diameter_lines_match_the_report_and_can_be_hidden(tiny, desktop, folder, wait):
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
            assert lengths[f"{words[region]}, perpendicular"] == pytest.approx(values[1], abs=0.1)
    assert not any(line.GetDisplayNode().GetVisibility3D() for line in lines)
    node = panel.segment.result.segmentationNode
    panel.segment.show(None)
    assert not panel.ui.diametersBox.checked
    panel.segment.show(node)  # as when a scene is loaded
    assert panel.ui.diametersBox.checked
    panel.ui.diametersBox.click()
    assert not desktop.slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")


def test_volume_selected_twice_disables_segmentation_with_the_reason(module, folder):
    ui = module.panel.ui
    module.panel.study.loadFolder(folder)
    ui.t2Selector.setCurrentNode(ui.t1Selector.currentNode())
    assert not ui.segmentButton.enabled
    assert ui.studyLabel.text == ui.segmentButton.toolTip == "patient 7 T1 is selected as T1 and as T2."


def test_cancel_ends_the_segmentation_without_a_result(tiny, desktop, folder, wait):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    ui.segmentButton.click()
    assert not ui.folderButton.enabled and "Wait" in ui.folderButton.toolTip
    assert not ui.segmentButton.enabled and ui.cancelButton.enabled
    ui.cancelButton.click()
    wait(lambda: ui.statusLabel.text == "Cancelled")
    assert not desktop.errors and ui.segmentButton.enabled and not ui.cancelButton.enabled
    assert tiny.panel.segment.result is None


def test_cancel_restores_the_previous_result(tiny, desktop, folder, wait):
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


def test_review_rating_and_surfaces_can_be_set_and_removed(tiny, folder, wait, monkeypatch):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)
    result = tiny.panel.segment.result
    assert ui.segmentEditor.segmentationNode() is result.segmentationNode
    assert ui.segmentEditor.sourceVolumeNode() is ui.t1ceSelector.currentNode()
    ui.changesButton.click()
    assert ui.changesLabel.text == "0 % of the tumor was changed."
    ui.reviewedBox.click()
    assert result.reviewed
    ui.reviewedBox.click()
    assert not result.reviewed
    monkeypatch.setattr(tiny.panel.correct.toolbox, "askRating", lambda: 4)
    ui.ratingButton.click()
    assert result.rating == 4 and "4 of 5" in ui.changesLabel.text
    ui.show3DBox.click()
    name = "Closed surface"
    assert result.segmentationNode.GetSegmentation().ContainsRepresentation(name)
    ui.show3DBox.click()
    assert not result.segmentationNode.GetSegmentation().ContainsRepresentation(name)


def test_review_asks_about_empty_segments_and_strokes_outside_of_the_brain(tiny, desktop, folder, wait, monkeypatch):
    panel, slicer, asked = tiny.panel, desktop.slicer, []
    panel.study.loadFolder(folder)
    panel.ui.segmentButton.click()
    wait(lambda: not panel.ui.cancelButton.enabled)
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text, **_: asked.append(text))
    result = panel.segment.result
    volume, segmentation = result.referenceNode, result.segmentationNode.GetSegmentation()
    outside = slicer.util.arrayFromVolume(volume)[0, 0, 0] == slicer.util.arrayFromVolume(volume)
    first, second, third = segmentation.GetSegmentIDs()
    for segment, mask in ((first, outside), (second, outside & False), (third, outside & False)):
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), result.segmentationNode, segment, volume
        )
    panel.ui.reviewedBox.click()
    assert not panel.ui.reviewedBox.checked and not result.reviewed
    assert asked[0].count("is empty") == 2 and "outside of the brain" in asked[0]
    assert segmentation.GetSegment(second).GetName() in asked[0]


def test_result_that_is_removed_from_the_scene_is_shown_no_longer(tiny, desktop, folder, wait):
    panel = tiny.panel
    panel.study.loadFolder(folder)
    panel.ui.segmentButton.click()
    wait(lambda: not panel.ui.cancelButton.enabled)
    assert panel.ui.resultTable.rowCount
    desktop.slicer.mrmlScene.RemoveNode(panel.segment.result.segmentationNode)
    assert panel.segment.result is None and not panel.ui.resultTable.rowCount and not panel.ui.reviewedBox.enabled


def test_add_case_needs_review_folder_and_patient_and_rejects_duplicates(tiny, desktop, folder, wait, tmp_path):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    assert "Segment a study" in ui.addButton.toolTip
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)
    assert "Reviewed" in ui.addButton.toolTip
    ui.reviewedBox.click()
    assert "folder" in ui.addButton.toolTip
    ui.cohortPath.currentPath = str(tmp_path / "cases")
    assert "patient" in ui.addButton.toolTip.lower()
    ui.patientEdit.text = "4711"
    ui.addButton.click()
    wait(lambda: ui.finetuneLabel.text.startswith("The case was added"))
    assert ui.patientEdit.text == "" and ui.casesLabel.text == "1 of about 20 cases"
    assert "3" in ui.finetuneButton.toolTip and not ui.finetuneButton.enabled
    ui.patientEdit.text = "4712"
    ui.addButton.click()
    wait(lambda: desktop.errors)
    assert ui.casesLabel.text == "1 of about 20 cases"


def test_cohort_path_rejects_a_folder_with_other_files(module, folder):
    ui = module.panel.ui
    ui.cohortPath.currentPath = str(folder)
    assert "not a MAGPIE cohort" in ui.casesLabel.text
    assert not ui.finetuneButton.enabled


def test_ranked_study_is_loaded_by_double_click(module, make_study, tmp_path, wait, tiny_model, monkeypatch):
    logic = module.panel.finetuningLogic
    rank = logic.rank
    monkeypatch.setattr(logic, "rank", lambda folder: rank(folder, model=str(tiny_model)))
    for name in ("first", "second"):
        (tmp_path / "archive" / name).mkdir(parents=True)
        for modality, volume in make_study(Modality.T1CE, Modality.FLAIR).volumes.items():
            write_volume(volume, tmp_path / "archive" / name / f"{NAMES[modality.value]}.nii.gz")
    ui = module.panel.ui
    module.panel.finetune.rank(tmp_path / "archive")
    assert not ui.rankButton.enabled
    wait(lambda: ui.rankTable.rowCount == 2)
    assert "ranked" in ui.finetuneLabel.text and ui.rankButton.enabled
    ui.rankTable.cellDoubleClicked.emit(0, 0)
    assert set(module.panel.volumes()) == {"T1CE", "FLAIR"}


def test_check_button_describes_the_computer(module, wait):
    ui = module.panel.ui
    ui.checkButton.click()
    wait(lambda: "threads" in ui.checkLabel.text)


def test_killed_worker_shows_an_error_and_is_restarted(tiny, desktop, folder, wait):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    ui.segmentButton.click()
    wait(lambda: tiny.logic.port.pid is not None)
    os.kill(tiny.logic.port.pid, signal.SIGKILL)
    wait(lambda: desktop.errors)
    assert ui.statusLabel.text == "Failed"
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)


def test_compare_rejects_a_segment_without_terminology(tiny, desktop, folder, wait):
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


def test_every_section_can_be_drawn(module, folder, tmp_path):
    from PySide6 import QtWidgets

    ui = module.panel.ui
    module.panel.study.loadFolder(folder)
    for name in ("studySection", "segmentSection", "correctSection", "finetuneSection", "computerSection"):
        section = getattr(ui, name)
        section.collapsed = False
        picture = QtWidgets.QWidget.grab(section)
        assert picture.save(str(tmp_path / f"{name}.png")) and picture.width() > 100


def test_missing_modality_shows_a_remark_and_can_be_segmented(module, folder):
    ui = module.panel.ui
    module.panel.study.loadFolder(folder)
    ui.t2Selector.setCurrentNode(None)
    assert "Without T2" in ui.studyLabel.text
    ui.t1ceSelector.setCurrentNode(None)
    assert ui.studyLabel.text.startswith("Without T1ce no enhancing tumor is segmented")
    assert "Without T2" in ui.studyLabel.text
    assert ui.segmentButton.enabled


def test_assign_by_name_keeps_the_selection_of_the_user(module, folder):
    ui = module.panel.ui
    module.panel.study.loadFolder(folder)
    first, flair = ui.t1Selector.currentNode(), ui.flairSelector.currentNode()
    for selector, node in ((ui.t1Selector, None), (ui.flairSelector, None), (ui.t2Selector, flair)):
        selector.setCurrentNode(node)
    ui.assignButton.click()
    assert ui.t2Selector.currentNode() is flair
    assert ui.t1Selector.currentNode() is first
    assert ui.flairSelector.currentNode() is None


def test_error_of_the_worker_names_the_volume(tiny, desktop, folder, wait):
    ui = tiny.panel.ui
    tiny.panel.study.loadFolder(folder)
    desktop.slicer.util.arrayFromVolume(ui.t2Selector.currentNode())[:] = np.float32(3)
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)
    (text,) = desktop.errors
    assert text.startswith("patient 7 T2: ")
    assert ui.statusLabel.text == "Failed" and ui.segmentButton.enabled


def test_empty_volume_shows_an_error_without_a_job(module, desktop, folder):
    ui = module.panel.ui
    module.panel.study.loadFolder(folder)
    desktop.slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    ui.t2Selector.setCurrentNode(desktop.slicer.util.getFirstNodeByName("empty"))
    ui.segmentButton.click()
    assert "empty" in desktop.errors[0]
    assert not module.logic.isRunning and ui.segmentButton.enabled


def test_declined_installation_is_no_error_and_starts_nothing(module, desktop, folder, monkeypatch):
    def declined(panels=True):
        raise Cancelled("Nothing was installed")

    ui = module.panel.ui
    monkeypatch.setattr(module.panel.computer.installLogic, "ensure", declined)
    module.panel.study.loadFolder(folder)
    ui.sampleButton.click()
    assert ui.statusLabel.text == "Nothing was installed."
    ui.checkButton.click()
    assert ui.checkLabel.text == "Nothing was installed."
    assert desktop.errors == []
    assert module.logic.port.pid is None


@pytest.mark.timeout(600)
def test_sample_button_makes_a_study_of_four_modalities(module, desktop, wait, anatomy_folder):
    ui = module.panel.ui
    ui.sampleButton.click()
    assert not ui.sampleButton.enabled
    wait(lambda: ui.sampleButton.enabled, 300)
    assert not desktop.errors
    assert set(module.panel.volumes()) == {"T1", "T1CE", "T2", "FLAIR"}


def test_panel_process_never_imports_torch(folder, tiny_model, tmp_path, slicer_python):
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
        start = widget.logic.start
        slicer.util.confirmYesNoDisplay = lambda text, **_: True
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


def test_the_next_fine_tuning_gets_a_name_that_is_free(module, site, tiny_model, monkeypatch):
    from magpie_core.models.versions import VersionStore

    started = []
    logic = module.panel.finetuningLogic
    monkeypatch.setattr(logic.finetuning, "start", started.append)
    for name in ("site-2", "site-1", "another"):
        VersionStore(site).add(name, tiny_model, {})
    logic.finetune("cohort", 10)
    assert started[0]["name"] == "site-3" and started[0]["run"].endswith("site-3")
