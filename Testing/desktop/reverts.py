"""Put faults of version 0.5.0 back, one by one, and list the tests that notice.

    MAGPIE_DESKTOP_SLICER=... python Testing/desktop/reverts.py [--desktop] [NUMBER ...]

Each fault is put into a copy of the committed files; at least one of its tests must fail there. Without `--desktop`
those that only the desktop application shows are left out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
S, T = "MagpieSegmentation/MagpieSegmentationLib/", "MagpieTraining/MagpieTrainingLib/"
SECTIONS, RESULT = "Testing/panel/test_sections.py::", "Testing/slicer/test_result_display.py::"
STORY, TRAINING = "Testing/desktop/test_segmentation_panel.py", "Testing/desktop/test_training_panel.py"


@dataclass(frozen=True)
class Fault:
    """A fault: what it was, where, the text of today and that of the fault, and the test that must fail.

    Attributes:
        also: A second file, with both texts.
    """

    what: str
    file: str
    today: str
    fault: str
    test: str
    also: tuple[str, str, str] | None = None

    @property
    def needs_desktop(self) -> bool:
        """Whether only the application shows it."""
        return "desktop" in self.test


FAULTS = (
    Fault(
        "the folder of cases is bound as a str",
        S + "PanelParameterNode.py",
        "= 90\n",
        '= 90\n    cohortFolder: str = ""\n',
        SECTIONS + "test_disabled_buttons_give_the_reason_in_an_empty_scene",
        also=(
            "MagpieSegmentation/Resources/UI/MagpieSegmentation.ui",
            '<widget class="ctkPathLineEdit" name="cohortPath">\n',
            '<widget class="ctkPathLineEdit" name="cohortPath">\n'
            '<property name="SlicerParameterName" stdset="0"><string>cohortFolder</string></property>\n',
        ),
    ),
    Fault(
        "an older Slicer gets the panel",
        S + "SupportedSlicer.py",
        "OLDEST = (5, 12)",
        "OLDEST = (5, 8)",
        "Testing/panel/test_old_slicer.py",
    ),
    Fault(
        "the second panel reads cases before the packages are there",
        T + "TrainingPanel.py",
        "        if problem:\n            return\n",
        "",
        TRAINING + "::test_a_fresh_slicer_says_what_is_missing_and_offers_to_install_it",
    ),
    Fault(
        "the sample is registered without addresses",
        "MagpieSegmentation/MagpieSegmentation.py",
        "        uris=[],\n",
        "",
        "Testing/panel/test_surroundings.py::test_sample_study_is_registered_after_startup",
    ),
    Fault(
        "the training time has no limits",
        S + "PanelParameterNode.py",
        "Annotated[int, WithinRange(1, 1440)]",
        "int",
        SECTIONS + "test_minutes_keep_their_range_and_are_stored_in_the_parameter_node",
    ),
    Fault(
        "volumes of another module are not chosen",
        S + "Panel.py",
        "            self.study.enter()\n",
        "",
        SECTIONS + "test_enter_assigns_volumes_that_were_loaded_in_another_module",
    ),
    Fault(
        "the brush stays active",
        S + "CorrectSection.py",
        "        self._ui.segmentEditor.setActiveEffect(None)\n",
        "",
        SECTIONS + "test_exit_deactivates_the_editor_and_enter_restores_the_shortcuts",
    ),
    Fault(
        "the shortcuts stay installed",
        S + "CorrectSection.py",
        "        self._ui.segmentEditor.uninstallKeyboardShortcuts()\n",
        "",
        SECTIONS + "test_exit_deactivates_the_editor_and_enter_restores_the_shortcuts",
    ),
    Fault(
        "a failed installation of torch is silent",
        S + "SlicerPackages.py",
        "            raise cls._failure(error) from error\n        if torch is None:",
        "            return\n        if torch is None:",
        "Testing/slicer/test_install_logic.py::test_torch_is_installed_by_the_pytorch_extension",
    ),
    Fault(
        "the proposal is shown",
        S + "SegmentationResult.py",
        "        self._hide(copy)\n",
        "",
        RESULT + "test_proposal_is_hidden_before_it_comes_into_the_scene_and_stays_hidden",
    ),
    Fault(
        "the log timer of the second panel runs on",
        T + "TrainingPanel.py",
        "        self._logTimer.stop()\n        self.experts.exit()\n",
        "        self.experts.exit()\n",
        "Testing/panel/test_training_module.py::test_leaving_the_module_ends_its_timer_and_observers",
    ),
    Fault(
        "making of synthetic studies looks like no training",
        T + "TrainingView.py",
        "{run}: synthetic studies for the training are made, {made} of {studies}",
        "No fine-tuning was started",
        "Testing/panel/test_training_module.py::test_synthetic_studies_are_counted_while_they_are_made",
    ),
    Fault(
        "labels of diameters overlap",
        S + "DiameterLines.py",
        "return all(abs(a - b) < size",
        "return all(abs(a - b) < 0 * size",
        RESULT + "test_labels_of_diameters_do_not_cover_each_other",
    ),
    Fault(
        "the edema hides the core in 3-D",
        S + "SegmentationImporter.py",
        "display.SetSegmentOpacity3D(segments.GetNthSegmentID(index), opacity)",
        "display.SetSegmentOpacity3D(segments.GetNthSegmentID(index), 1.0)",
        RESULT + "test_core_is_visible_inside_the_edema_in_3d",
    ),
    Fault(
        "a stroke outside of the brain is taken",
        S + "CorrectSection.py",
        "return not check.remarks or",
        "return True or",
        SECTIONS + "test_review_asks_about_empty_segments_and_strokes_outside_of_the_brain",
    ),
    Fault(
        "segments of the patient before stay visible",
        S + "SegmentationResult.py",
        "            node.SetDisplayVisibility(node is shown)\n",
        "            pass\n",
        RESULT + "test_results_of_other_studies_are_hidden",
    ),
    Fault(
        "table and line differ by a millimeter",
        S + "Formatting.py",
        "round(length, 1):.0f",
        "length:.0f",
        RESULT + "test_line_and_table_give_the_same_whole_millimeters",
    ),
    Fault(
        "a saved scene replaces tables of one name",
        T + "SceneNodes.py",
        "        name = slicer.mrmlScene.GenerateUniqueName(name)\n",
        "        pass\n",
        "Testing/slicer/test_training_views.py::test_nodes_with_files_have_names_of_their_own",
    ),
    Fault(
        "a broken toolbox kills the panel",
        S + "DevelopmentToolbox.py",
        "except Exception as failure",
        "except KeyError as failure",
        "Testing/desktop/test_toolbox.py::test_a_broken_toolbox_does_not_touch_the_panel",
    ),
    Fault(
        "Cancel stores a rating",
        S + "DevelopmentToolbox.py",
        "    return dialog.intValue() if dialog.exec_() else None\n",
        "    dialog.exec_()\n    return dialog.intValue()\n",
        "Testing/desktop/test_model_choice.py",
    ),
    Fault(
        "the layout is registered only when it is used",
        "MagpieTraining/MagpieTraining.py",
        "ExpertGrid.registerAtStart()",
        "pass",
        TRAINING + "::test_scene_that_was_saved_with_all_experts_side_by_side_opens_so",
    ),
    Fault(
        "views side by side are not fitted",
        T + "ExpertGrid.py",
        "            self._fit(len(maps), background or maps[0])\n",
        "",
        TRAINING + "::test_curves_and_expert_maps",
    ),
    Fault(
        "bars are black",
        T + "ExpertBars.py",
        "            series.SetColor(*categoricalColor(number - 1))\n",
        "",
        TRAINING + "::test_curves_and_expert_maps",
    ),
    Fault(
        "expert maps lie at the root of the scene",
        T + "ExpertsLogic.py",
        "cls.folderName(), result.referenceNode or result.segmentationNode)",
        "cls.folderName())",
        TRAINING + "::test_curves_and_expert_maps",
    ),
    Fault(
        "the slices stay where they were",
        S + "SegmentSection.py",
        "            jumpTo(middle)\n",
        "            pass\n",
        STORY,
    ),
    Fault(
        "the table is cut",
        S + "Tables.py",
        "    table.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)\n",
        "    table.setFixedHeight(60)\n",
        STORY,
    ),
    Fault(
        "a closed scene leaves its result in the panel",
        S + "Panel.py",
        "        self.study.clear()\n        self.segment.clear()\n        self.show(None)\n",
        "",
        STORY,
    ),
    Fault(
        "PyTorch is installed into a Slicer for Intel Macs",
        S + "InstallLogic.py",
        "        if not PythonSetting.path() and not self.hasTorch() and MacArchitecture().whyNoTorch():",
        "        if False:",
        "Testing/slicer/test_python_setting.py::test_on_a_mac_for_intel_torch_is_not_even_tried",
    ),
    Fault(
        "the box of the diameters is not ticked in a loaded scene",
        S + "SegmentSection.py",
        "ui.diametersBox.checked = result is not None and bool(self._lines.shown(result))",
        "ui.diametersBox.checked = False",
        SECTIONS + "test_diameter_lines_match_the_report_and_can_be_hidden",
    ),
    Fault(
        "diameters are drawn in 3-D",
        S + "DiameterLines.py",
        "display.SetVisibility3D(False)",
        "display.SetVisibility3D(True)",
        SECTIONS + "test_diameter_lines_match_the_report_and_can_be_hidden",
    ),
    Fault(
        "the folder of cases is forgotten",
        S + "CohortFolder.py",
        "slicer.app.userSettings().setValue(_KEY, path)",
        "pass",
        SECTIONS + "test_folder_of_cases_outlives_the_scene_and_slicer",
    ),
    Fault(
        "a small change is 0 % in one place and <1 % in another",
        S + "FinetuneSection.py",
        "percentText(edited)",
        'f"{100 * edited:.0f}"',
        "Testing/panel/test_adding.py::test_the_same_change_has_the_same_percentage_everywhere",
    ),
    Fault(
        "an effect that is registered later is not offered",
        S + "CorrectSection.py",
        'self._effects.connect("effectRegistered(QString)", self.onEffectRegistered)',
        "pass",
        SECTIONS + "test_effect_that_is_registered_later_is_offered_until_the_module_is_closed",
    ),
    Fault(
        "each segmentation logs an error of the subject hierarchy",
        S + "SegmentationImporter.py",
        "if scene.IsNodePresent(node):",
        "if True:",
        STORY,
    ),
)


def main() -> int:
    """Put the faults in, and print which were noticed; returns the number of those that were not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--desktop", action="store_true", help="those that only the application shows, too")
    parser.add_argument("numbers", type=int, nargs="*", help="of the faults, from 1; all by default")
    options = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", "HEAD"], capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", name], input=archive.stdout, check=True)
        for number, fault in enumerate(FAULTS, 1):
            if (options.numbers and number not in options.numbers) or (fault.needs_desktop and not options.desktop):
                continue
            kept = {}
            for file, today, broken in filter(None, ((fault.file, fault.today, fault.fault), fault.also)):
                kept[copy / file] = text = (copy / file).read_text(encoding="utf-8")
                assert today in text, f"{file} no longer holds {today!r}"
                (copy / file).write_text(text.replace(today, broken, 1), encoding="utf-8")
            environment = {**os.environ, "PYTHONPATH": name}
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", fault.test]
            done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
            for path, text in kept.items():
                path.write_text(text, encoding="utf-8")
            noticed = done.returncode == 1
            missed += not noticed
            print(f"{number:3} {'noticed' if noticed else 'MISSED '} {fault.what}: {fault.test}", flush=True)  # noqa: T201
    return missed


if __name__ == "__main__":
    sys.exit(main())
