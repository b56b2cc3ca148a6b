"""Studies that were misread once, as scanners and hospitals make them: each is read as the sound one is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from magpie_core.imaging.modality import Modality
from magpie_core.imaging.study import Study
from magpie_core.io.discovery import read_study

T1, T1CE, T2, FLAIR = Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR


@pytest.fixture
def replay(cases_folder: Path, tmp_path: Path):
    """Make the study of a script, and read it or a folder in it."""

    def make(name: str, folder: str = "") -> Study:
        script = cases_folder.parent / "faults" / f"make_{name}.py"
        if not script.exists():
            pytest.skip("needs the scripts that replay faults")
        environment = {**os.environ, "MAGPIE_CASES": str(cases_folder)}
        subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, env=environment)
        return read_study(tmp_path / name / folder)

    return make


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("00_baseline", {T1: 3, T1CE: 6, T2: 4, FLAIR: 5}),
        ("01_t1_flair", {T1: 4, T1CE: 6, T2: 5, FLAIR: 3}),
        ("02_agent_for_whole_exam", {T1: 3, T1CE: 6, T2: 4, FLAIR: 5}),
        ("03_agent_says_none", {T1: 3, T2: 4, FLAIR: 5}),
        ("04_duplicate_slice", {T1: 3, T1CE: 6, T2: 4, FLAIR: 5}),
        ("05_echo_time_varies", {T1: 3, T1CE: 6, T2: 4, FLAIR: 5}),
        ("06_enhanced_one_frame_a_file", {T1: 3, T1CE: 6, T2: 4, FLAIR: 5}),
        ("08_phase_beside_magnitude", {T1: 3, T1CE: 6, T2: 4, FLAIR: 5}),
        ("09_dixon", {T1: 3, T1CE: 12, T2: 4, FLAIR: 5}),
        ("11_spine_in_the_same_visit", {T1: 3, T1CE: 6, T2: 4, FLAIR: 5}),
        ("12_dicom_with_a_stray_nifti", {T1: 3, T1CE: 6, T2: 4, FLAIR: 5}),
        ("13_unknown_name_with_contrast", {T1: 4, T1CE: 9, T2: 5, FLAIR: 6}),
        ("14_post_without_fat_saturation", {T1: 4, T1CE: 9, T2: 5, FLAIR: 6}),
        ("15_study_uid_by_series", {T1: 3, T1CE: 4, T2: 5, FLAIR: 6}),
        ("24_philips_enhanced_with_phase", {T1: 3, T1CE: 6, T2: 4, FLAIR: 5}),
        ("25_rounded_positions", {T1: 3}),
        ("26_no_preamble_no_ending", {T1: 3}),
    ],
)
def test_series_are_chosen_right_and_every_other_is_accounted_for(name, numbers, replay):
    study = replay(name)
    assert {key: int(volume.source.split()[1]) for key, volume in study.volumes.items()} == numbers
    assert all(volume.shape == study.volumes[T1].shape or name.startswith("02") for volume in study.volumes.values())
    assert {row.modality for row in study.found if row.use == "used"} == set(numbers)
    assert all(row.reason for row in study.found)


@pytest.mark.parametrize(
    ("name", "folder", "modalities"),
    [
        ("16_bad_quaternion", "rounding", {T1, T1CE, T2, FLAIR}),
        ("16_bad_quaternion", "not_declared", {T1, T1CE, T2, FLAIR}),
        ("17_bids_names", "space", {T1, T2, FLAIR}),
        ("17_bids_names", "none", {T1, T2, FLAIR}),
        ("17_bids_names", "both", {T1, T1CE, T2, FLAIR}),
        ("17_bids_names", "nonsel", {T1, T1CE, T2, FLAIR}),
        ("18_registered_names", "to_t1", {T1CE, T2, FLAIR}),
        ("18_registered_names", "to_t1ce", {T2, FLAIR}),
        ("18_registered_names", "captk", {T1, T1CE, T2, FLAIR}),
        ("21_brats_uncompressed", "BraTS20_Training_001", {T1, T1CE, T2, FLAIR}),
    ],
)
def test_files_are_what_their_names_say(name, folder, modalities, replay):
    assert set(replay(name, folder).volumes) == modalities
