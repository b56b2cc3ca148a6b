"""The cohort: cases are added completely or not at all, checked, split by patient, and never lost."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from magpie_core.cohort.case import edited_fraction
from magpie_core.cohort.cohort import Cohort
from magpie_core.errors import InputError, ResourceError
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.volume import Volume
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation


def test_a_case_comes_back_as_it_was_added(cohort, make_case):
    study, labels = make_case(schema="brats-2022")
    added = cohort.add(study, labels, patient="4711", user="Dr. A")
    (case,) = Cohort(cohort.folder).cases()
    assert case == added and case.annotator == "Dr. A"
    again = read_study(case.folder)
    assert again.modalities == study.modalities
    for name, volume in study.volumes.items():
        np.testing.assert_array_equal(again.volumes[name].data, volume.data)
        np.testing.assert_allclose(again.volumes[name].affine, volume.affine, atol=1e-6)
    back = read_segmentation(case.labels)
    np.testing.assert_array_equal(back.labels, labels.labels)
    assert back.schema == labels.schema
    assert cohort.check() == []


def test_add_keeps_the_patient_only_as_a_salted_hash_of_the_site(cohort, make_case, tmp_path, monkeypatch):
    cohort.add(*make_case(), patient="Doe^John 1950")
    for path in cohort.folder.rglob("*"):
        assert "Doe" not in str(path)
        if path.is_file():
            assert b"Doe" not in path.read_bytes()
    here = Cohort.create(tmp_path / "other")
    assert here.patient_hash("Doe^John 1950") == cohort.patient_hash("Doe^John 1950")
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "another site"))
    elsewhere = Cohort.create(tmp_path / "elsewhere")
    assert elsewhere.patient_hash("Doe^John 1950") != cohort.patient_hash("Doe^John 1950")


def test_fold_of_a_patient_is_for_life(cohort, make_case):
    for number in range(4):
        cohort.add(*make_case(number), patient=str(number))
    kept = {case.patient: fold for fold, cases in enumerate(cohort.folds(3)) for case in cases}
    for number in range(4, 10):
        cohort.add(*make_case(number), patient=str(number))
    for number in (2, 3, 5):
        folds = cohort.folds(number, kept=kept)
        now = {case.patient: fold for fold, cases in enumerate(folds) for case in cases}
        assert kept.items() <= now.items() and len(folds) == max(3, number)
        assert sorted(len(fold) for fold in folds)[0] >= 10 // len(folds)
    for case in cohort.cases():
        if kept.get(case.patient, 0) == 0:
            cohort.remove(case.name, reason="a test")
    folds = cohort.folds(2, kept=kept)  # a fold of which no patient is left is empty: the others keep their numbers
    assert [{kept[case.patient] for case in fold} for fold in folds] == [set(), {1}, {2}]


def test_files_that_were_changed_are_noticed_before_they_are_used(cohort, make_case):
    case = cohort.add(*make_case(), patient="1")
    assert cohort.verified_cases() == [case]
    case.labels.write_bytes(case.labels.read_bytes() + b" ")
    with pytest.raises(InputError, match=f"{case.labels.name}: The file was changed"):
        cohort.verified_cases()
    case.images[Modality.T1].unlink()
    with pytest.raises(InputError, match=r"T1w.nii.gz: The file is missing\.(.|\n)*was changed"):
        cohort.verified_cases()


def test_folds_keep_all_visits_of_a_patient_together(cohort, make_case):
    for number in range(6):
        cohort.add(*make_case(number), patient=str(number % 3))
    assert sorted({case.name.split("_")[1] for case in cohort.cases()}) == ["ses-01", "ses-02"]
    folds = cohort.folds(3)
    assert folds == Cohort(cohort.folder).folds(3)
    assert [len(fold) for fold in folds] == [2, 2, 2]
    assert all(len({case.patient for case in fold}) == 1 for fold in folds)
    with pytest.raises(InputError, match="3 patients"):
        cohort.folds(4)


def test_folds_refuse_cases_of_a_single_patient(cohort, make_case):
    with pytest.raises(InputError, match="There are no cases"):
        cohort.folds(2)
    for number in range(2):
        cohort.add(*make_case(number), patient="1")
    with pytest.raises(InputError, match=r"of one patient(.|\n)*Add cases of another"):
        cohort.folds(2)


def test_add_refuses_the_same_study_under_another_name(cohort, make_case):
    cohort.add(*make_case(), patient="1")
    with pytest.raises(InputError, match="already"):
        cohort.add(*make_case(), patient="2")
    with pytest.raises(InputError, match="already"):
        cohort.add(*make_case(1), patient="1", visit="01")
    assert len(cohort.cases()) == 1 and cohort.check() == []


@pytest.mark.parametrize("change", ["axes", "numbers", "rounded", "8 bits", "brightness", "margin", "place"])
def test_add_refuses_the_same_image_however_it_is_stored(cohort, make_case, change):
    study, labels = make_case(3)
    cohort.add(study, labels, patient="1")
    volume = study.volumes[Modality.FLAIR]
    data, affine = volume.data, volume.affine.copy()
    if change == "axes":
        data = data[:, ::-1].transpose(2, 0, 1)
        flip = np.eye(4)
        flip[1, 1], flip[1, 3] = -1, volume.shape[1] - 1
        affine = affine @ flip @ np.eye(4)[:, [2, 0, 1, 3]]
    elif change == "numbers":
        data = data.astype(np.float64)
    elif change == "rounded":
        data = np.rint(data)
    elif change == "8 bits":
        data = np.rint(data / data.max() * 255)
    elif change == "brightness":
        data = 3 * data + 7
    elif change == "margin":
        data = np.pad(data, 2, constant_values=data[0, 0, 0])
        affine[:3, 3] -= affine[:3, :3] @ (2, 2, 2)
    else:
        affine[:3, 3] += 40
    again = replace(study, volumes={Modality.T2: Volume(data.astype(np.float32), affine)})
    drawn = Segmentation(
        np.ones(data.shape, np.uint8) * (np.arange(data.shape[0]) < 3)[:, None, None], affine, labels.schema
    )
    with pytest.raises(InputError, match="already"):
        cohort.add(again, drawn, patient="3")
    assert len(cohort.cases()) == 1


def test_add_refuses_a_segmentation_on_another_grid_and_a_missing_patient(cohort, make_case):
    study, labels = make_case()
    moved = labels.affine.copy()
    moved[0, 3] += 1
    with pytest.raises(InputError, match="another grid"):
        cohort.add(study, replace(labels, affine=moved), patient="1")
    with pytest.raises(InputError, match="patient"):
        cohort.add(study, labels, patient=" ")
    with pytest.raises(InputError, match="letters"):
        cohort.add(study, labels, patient="1", visit="../x")
    full = Segmentation(np.ones_like(labels.labels), labels.affine, labels.schema)
    with pytest.raises(InputError, match="everywhere"):
        cohort.add(study, full, patient="1")
    assert cohort.cases() == [] and cohort.check() == []


def test_edited_fraction_is_measured_against_the_proposal(cohort, make_case):
    study, labels = make_case()
    _, proposal = make_case(shift=1)
    assert cohort.add(study, labels, patient="1", proposal=proposal).edited == pytest.approx(0.5)
    assert edited_fraction(labels, labels) == 0


def test_remove_moves_a_case_to_the_trash_and_it_may_be_added_again(cohort, make_case):
    case = cohort.add(*make_case(), patient="1")
    with pytest.raises(InputError, match="reason"):
        cohort.remove(case.name, reason="")
    place = cohort.remove(case.name, reason="wrong patient", user="Dr. A")
    assert cohort.cases() == [] and any(place.rglob("*_dseg.nii.gz"))
    with pytest.raises(InputError, match="no such case"):
        cohort.remove(case.name, reason="again")
    assert cohort.add(*make_case(), patient="1").name == case.name
    assert [entry.event for entry in cohort.log.entries()] == ["create", "add", "remove", "add"]
    assert cohort.check() == []


def test_check_finds_a_changed_a_missing_and_an_unassigned_file(cohort, make_case):
    first = cohort.add(*make_case(), patient="1")
    second = cohort.add(*make_case(1), patient="2")
    image = first.images[Modality.T1]
    data = bytearray(image.read_bytes())
    data[100] ^= 1
    image.write_bytes(data)
    second.images[Modality.FLAIR].unlink()
    (cohort.folder / "sub-x" / "ses-01").mkdir(parents=True)
    problems = cohort.check()
    assert len(problems) == 3
    assert "changed" in problems[0] and str(image) in problems[0]
    assert "missing" in problems[1] and "not in the log" in problems[2]


def test_case_folders_that_are_not_in_the_log_are_named(cohort, make_case, tmp_path):
    other = Cohort.create(tmp_path / "other")
    cohort.add(*make_case(0), patient="1")
    case = other.add(*make_case(1), patient="2")
    assert cohort.unlisted() == []
    shutil.copytree(case.folder, cohort.folder / case.folder.relative_to(other.folder))
    (said,) = cohort.unlisted()
    assert case.name.replace("_", "/") in said and "magpie cohort import" in said
    assert len(cohort.verified_cases()) == 1


def test_a_changed_log_is_detected_and_nothing_is_added_to_it(cohort, make_case):
    cohort.add(*make_case(), patient="1", user="Dr. A")
    cohort.log.path.write_text(cohort.log.path.read_text().replace("Dr. A", "Dr. B"))
    assert "Line 2" in cohort.check()[0]
    with pytest.raises(InputError, match="log"):
        cohort.add(*make_case(1), patient="2")


def test_a_folder_that_is_no_cohort_or_not_empty_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a cohort"):
        Cohort(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="empty"):
        Cohort.create(tmp_path)


@pytest.fixture
def nobody():
    """Whoever runs the tests, if it is not the superuser, who may write everywhere; else the user nobody."""
    if os.geteuid() != 0:
        yield tempfile.mkdtemp()
        return
    folder = tempfile.mkdtemp(dir="/tmp")  # pytest's own folder is closed to others
    os.chmod(folder, 0o755)
    yield folder
    os.seteuid(0)
    shutil.rmtree(folder)


def test_a_cohort_on_a_read_only_disk_can_be_read_but_not_changed(nobody, make_case):
    cohort = Cohort.create(Path(nobody) / "cohort")
    cohort.add(*make_case(), patient="1")
    for folder in [cohort.folder, *(path for path in cohort.folder.rglob("*") if path.is_dir())]:
        folder.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        assert len(cohort.cases()) == 1 and cohort.check() == []
        with pytest.raises(ResourceError, match="Cannot lock"):
            cohort.add(*make_case(1), patient="2")
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        for folder in [cohort.folder, *(path for path in cohort.folder.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)


PROGRAM = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import numpy as np
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.imaging.label_schema import label_schema
    from magpie_core.imaging.segmentation import Segmentation
    from magpie_core.imaging.modality import Modality
    from magpie_core.imaging.study import Study
    from magpie_core.imaging.volume import Volume
    cohort = Cohort(Path(sys.argv[1]))
    first, count = int(sys.argv[2]), int(sys.argv[3])
    for number in range(first, first + count):
        image = np.random.default_rng(number).random((4, 4, 4)).astype(np.float32)
        labels = np.zeros((4, 4, 4), np.uint8)
        labels[0, 0, 0] = 1
        study = Study({Modality.T1: Volume(image, np.eye(4))}, f"s{number}")
        cohort.add(study, Segmentation(labels, np.eye(4), label_schema("magpie")), patient=str(number))
    """
)


def _adding(cohort, first, count):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(cohort.folder), str(first), str(count)])


def test_two_processes_that_add_at_once_lose_no_case(cohort):
    workers = [_adding(cohort, 1000 * which, 40) for which in range(2)]
    assert [worker.wait(300) for worker in workers] == [0, 0]
    assert len(cohort.cases()) == 80 and cohort.check() == []


def test_killing_an_addition_leaves_only_complete_cases(cohort):
    for attempt in range(10):
        before = len(cohort.cases())
        worker = _adding(cohort, 1000 * attempt, 1000)
        deadline = time.monotonic() + 120
        while len(cohort.cases()) == before and time.monotonic() < deadline and worker.poll() is None:
            time.sleep(0.01)
        time.sleep(0.013 * attempt)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        assert not [problem for problem in cohort.check() if "not in the log" not in problem]
    assert _adding(cohort, 50_000, 1).wait(120) == 0
    assert cohort.check() == []
