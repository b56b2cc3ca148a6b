"""Pretraining datasets: sources, preparation, refusals, exclusions, draws, interruptions and disk quota."""

from __future__ import annotations

import csv
import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from magpie_core.errors import Cancelled, InputError, ResourceError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES, Modality
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_volume, write_volume
from magpie_core.pretraining.dataset.config import PAPER_SCALE, DatasetConfig
from magpie_core.pretraining.dataset.dataset import INDEX, PACKED, PretrainingDataset, split_of
from magpie_core.pretraining.dataset.index import DatasetIndex
from magpie_core.pretraining.dataset.preparation import PreparationOptions, prepare_dataset
from magpie_core.pretraining.dataset.sample_store import SampleStore
from magpie_core.pretraining.dataset.sources import StudyFiles, list_studies

SHAPE = (32, 36, 28)
PREPARE = (sys.executable, "-m", "magpie_core.cli", "dataset", "prepare")
ALL_TRAIN = DatasetConfig(validation_fraction=0.0)


@pytest.fixture
def add_subject(make_volume, tmp_path):
    """Writes a subject's images below `data`; every number looks different."""

    def write(name: str, number: int, modalities=("t1",), *, below: str = "data", shape=SHAPE) -> Path:
        folder = tmp_path / below / name
        folder.mkdir(parents=True, exist_ok=True)
        for index, modality in enumerate(modalities):
            write_volume(make_volume(shape, seed=10 * number + index), folder / f"{modality}.nii.gz")
        return folder

    return write


@pytest.fixture
def prepare(tmp_path):
    """Prepares `data` into `dataset`; returns the index."""

    def run(*exclude: Path, config: DatasetConfig = ALL_TRAIN, source: str = "data", **options) -> DatasetIndex:
        studies = list_studies([tmp_path / source]).studies
        return prepare_dataset(studies, tmp_path / "dataset", config, exclude, PreparationOptions(**options))

    return run


def states(index: DatasetIndex) -> dict[str, str]:
    return {record.subject: record.state for record in index.records.values()}


def problems_of(index: DatasetIndex, subject: str) -> str:
    (record,) = (record for record in index.records.values() if record.subject == subject)
    return " ".join(f"{problem['what']} {problem['cause']}" for problem in record.problems)


def drawn(dataset: PretrainingDataset, times: int = 60) -> set[str]:
    rng = np.random.default_rng(0)
    return {dataset.draw(rng).name for _ in range(times)}


class TestSources:
    def test_subjects_of_bids_folders_site_folders_and_flat_files(self, add_subject, tmp_path):
        add_subject("sub-1/ses-a/anat", 0, ("sub-1_ses-a_T1w", "sub-1_ses-a_FLAIR"))
        add_subject("sub-1/ses-b/anat", 1, ("sub-1_ses-b_T1w",))
        add_subject("patient7/2019", 2, ("t1", "t2"))
        add_subject("patient8", 3, ("t1", "brain_mask"))
        add_subject("", 4, ("patient9_T1",))
        found_studies = list_studies([tmp_path / "data"])
        found = {(s.subject, s.session): sorted(map(str, s.files)) for s in found_studies.studies}
        assert found == {
            ("sub-1", "ses-a"): ["FLAIR", "T1"],
            ("sub-1", "ses-b"): ["T1"],
            ("patient7", "2019"): ["T1", "T2"],
            ("patient8", ""): ["T1"],
            ("patient9", ""): ["T1"],
        }
        assert [path.name for path in found_studies.unnamed] == ["brain_mask.nii.gz"]

    def test_visits_in_one_folder_and_runs_are_studies_of_one_subject(self, add_subject, tmp_path):
        add_subject("p1", 0, ("visit1_t1", "visit2_t1"))
        add_subject("sub-2/anat", 1, ("sub-2_run-1_T1w", "sub-2_run-2_T1w", "sub-2_T2w"))
        studies = list_studies([tmp_path / "data"]).studies
        assert [study.subject for study in studies] == ["p1", "p1", "sub-2", "sub-2"]
        assert sorted(len(study.files) for study in studies) == [1, 1, 1, 2]

    def test_links_are_followed_without_loops(self, add_subject, tmp_path):
        folder = add_subject("a", 0, below="elsewhere")
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "p1").symlink_to(folder, target_is_directory=True)
        (folder / "loop").symlink_to(tmp_path / "data", target_is_directory=True)
        (study,) = list_studies([tmp_path / "data"]).studies
        assert study.subject == "p1"

    def test_manifest_names_subjects_and_modalities(self, add_subject, tmp_path):
        add_subject("a", 0, ("scan17", "t2"))
        add_subject("b", 1, ("t1", "flair"))
        manifest = tmp_path / "list.csv"
        manifest.write_text(
            "Subject,session,path,modality,t1\n"
            "x,1,data/a/scan17.nii.gz,T1CE,\nx,1,data/a/t2.nii.gz,,\ny,,data/b,,\nz,,,,data/b/t1.nii.gz\n",
            encoding="utf-8-sig",
        )
        found = {(s.subject, s.session): sorted(map(str, s.files)) for s in list_studies([manifest]).studies}
        assert found == {("x", "1"): ["T1CE", "T2"], ("y", ""): ["FLAIR", "T1"], ("z", ""): ["T1"]}

    @pytest.mark.parametrize(
        ("text", "messages"),
        [
            ("subject,path\n,data/a\n", "Line 2 of the manifest names no subject"),
            ("subject,path\nx,\n", "names no image"),
            ("subject,path,modality\nx,a.nii,nonsense\n", "'nonsense' is not the name of a modality"),
            ("subject,path\nx,a,b\n", "more fields"),
        ],
    )
    def test_faulty_manifest_is_refused_by_line(self, tmp_path, text, messages):
        (tmp_path / "list.csv").write_text(text)
        with pytest.raises(InputError, match=messages):
            list_studies([tmp_path / "list.csv"])

    def test_sources_without_studies_are_refused(self, tmp_path):
        with pytest.raises(InputError, match="No study"):
            list_studies([tmp_path])
        with pytest.raises(InputError, match="no such folder"):
            list_studies([tmp_path / "nowhere"])


class TestDraws:
    def test_draw_has_every_modality_and_absent_ones_are_zero(self, add_subject, prepare, tmp_path):
        add_subject("p1", 0, ("t1", "flair"))
        prepare()
        dataset = PretrainingDataset(tmp_path / "dataset")
        sample = dataset.draw(np.random.default_rng(0))
        assert sample.name == "p1" and len(dataset) == 1 and dataset.subjects == ("p1",)
        assert dataset.modalities == {"T1": 1, "T1CE": 0, "T2": 0, "FLAIR": 1}
        patch = sample.patch((0, 0, 0), sample.shape)
        there = patch.images.flatten(1).any(dim=1).tolist()
        assert dict(zip(GLIOMA_MODALITY_NAMES, there, strict=True)) == {"T1": 1, "T1CE": 0, "T2": 0, "FLAIR": 1}
        assert not patch.labels.any() and float(patch.images[0].mean()) == pytest.approx(0, abs=0.05)
        assert all(n // 3 < size <= n // 2 for n, size in zip(SHAPE, sample.shape, strict=True))

    def test_draws_are_the_same_for_the_same_rng(self, add_subject, prepare, tmp_path):
        for number in range(4):
            add_subject(f"p{number}", number)
        prepare()
        first, again = (
            [PretrainingDataset(tmp_path / "dataset").draw(np.random.default_rng(seed)).name for seed in range(20)]
            for _ in range(2)
        )
        assert first == again and len(set(first)) == 4

    def test_samples_are_memory_mapped(self, add_subject, prepare, tmp_path):
        add_subject("p1", 0, ("t1", "t1ce", "t2", "flair"))
        prepare()
        packed = PretrainingDataset(tmp_path / "dataset").draw(np.random.default_rng(0)).packed
        assert isinstance(packed, np.memmap) and not packed.flags.writeable

    def test_paper_intensities_range_from_0_to_the_paper_scale(self, add_subject, prepare, tmp_path):
        add_subject("p1", 0)
        prepare(config=DatasetConfig(intensities="paper", validation_fraction=0.0))
        sample = PretrainingDataset(tmp_path / "dataset").draw(np.random.default_rng(0))
        image = sample.patch((0, 0, 0), sample.shape).images[0] / PAPER_SCALE
        assert float(image.min()) == 0 and float(image.max()) == pytest.approx(1, abs=0.01)
        assert 0.2 < float(image[image > 0].mean()) < 0.8

    def test_dataset_has_one_voxel_size(self, add_subject, prepare, tmp_path):
        add_subject("p1", 0)
        fine = prepare(config=DatasetConfig(spacing_mm=1.0, validation_fraction=0.0)).ready()[0].shape
        with pytest.raises(InputError, match="other settings"):
            prepare()
        shutil.rmtree(tmp_path / "dataset")
        coarse = prepare().ready()[0].shape
        assert all(1.4 < a / b < 2 for a, b in zip(fine, coarse, strict=True))

    def test_empty_and_unknown_splits_are_refused(self, add_subject, prepare, tmp_path):
        add_subject("p1", 0)
        prepare()
        with pytest.raises(InputError, match="no study in the split"):
            PretrainingDataset(tmp_path / "dataset", "validation").draw(np.random.default_rng(0))
        with pytest.raises(InputError, match="Unknown split"):
            PretrainingDataset(tmp_path / "dataset", "test")
        with pytest.raises(InputError, match="not a pretraining dataset"):
            PretrainingDataset(tmp_path / "data")


class TestSplit:
    def test_split_of_a_subject_stays_when_others_are_added(self, add_subject, prepare, tmp_path):
        config = DatasetConfig(validation_fraction=0.5)
        for number in range(6):
            add_subject(f"p{number}/visit1", number)
        prepare(config=config)
        before = {name: PretrainingDataset(tmp_path / "dataset", name).subjects for name in ("train", "validation")}
        assert before["train"] and before["validation"]
        for number in range(6):
            add_subject(f"p{number}/visit2", 20 + number)
            add_subject(f"q{number}", 40 + number)
        prepare(config=config)
        after = {name: PretrainingDataset(tmp_path / "dataset", name).subjects for name in ("train", "validation")}
        assert not set(after["train"]) & set(after["validation"])
        for name in before:
            assert set(before[name]) <= set(after[name])
        assert sum(len(PretrainingDataset(tmp_path / "dataset", name)) for name in before) == 18

    def test_split_fractions_hold_and_spellings_of_a_name_have_one_split(self):
        splits = [split_of(f"subject {number}", 0.1) for number in range(5000)]
        assert splits.count("validation") == pytest.approx(500, abs=80)
        assert all(
            split_of(f"sub-{n:03d}", 0.5) == split_of(f" SUB-{n:03d}", 0.5) == split_of(f"{n:03d}", 0.5)
            for n in range(50)
        )


class TestRefused:
    def test_faulty_scans_are_recorded_and_others_prepared(self, add_subject, prepare, tmp_path):
        add_subject("good", 0)
        cut = add_subject("cut", 1) / "t1.nii.gz"
        cut.write_bytes(cut.read_bytes()[:300])
        (add_subject("nonsense", 2) / "t1.nii.gz").write_bytes(b"no image at all" * 50)
        many = np.random.default_rng(0).random((20, 20, 20, 3), dtype=np.float32)
        nibabel.save(nibabel.Nifti1Image(many, np.eye(4)), add_subject("many", 3) / "t1.nii.gz")
        nibabel.save(nibabel.Nifti1Image(many[:, :, :3, 0], np.eye(4)), add_subject("thin", 4) / "t1.nii.gz")
        empty = np.zeros((20, 20, 20), np.float32)
        nibabel.save(nibabel.Nifti1Image(empty, np.eye(4)), add_subject("empty", 5) / "t1.nii.gz")
        nan = many[..., 0].copy()
        nan[3, 3, 3] = np.nan
        nibabel.save(nibabel.Nifti1Image(nan, np.eye(4)), add_subject("nan", 6) / "t1.nii.gz")
        index = prepare()
        found = states(index)
        assert found.pop("good") == "ready" and set(found.values()) == {"refused"} and len(found) == 6
        messages = {"cut": "cut short", "nonsense": "not a NIfTI", "many": "holds 3 images", "thin": "too few slices"}
        messages |= {"empty": "is empty", "nan": "not finite"}
        for subject, words in messages.items():
            assert words in problems_of(index, subject), subject
        for record in index.records.values():
            for problem in record.problems:
                assert problem["remedy"] and Path(problem["source"]).is_file()

    def test_faulty_modality_is_left_out_and_the_rest_used(self, add_subject, prepare, tmp_path):
        folder = add_subject("p1", 0, ("t1", "t2", "flair"))
        (folder / "t2.nii.gz").write_bytes((folder / "t2.nii.gz").read_bytes()[:300])
        away = read_volume(folder / "flair.nii.gz")
        affine = away.affine.copy()
        affine[:3, 3] += 500
        write_volume(Volume(away.data, affine), folder / "flair.nii.gz")
        (record,) = prepare().ready()
        assert record.modalities == ("T1",) and len(record.problems) == 2
        assert {Path(problem["source"]).name for problem in record.problems} == {"t2.nii.gz", "flair.nii.gz"}

    def test_studies_of_other_modalities_are_refused(self, add_subject, prepare):
        add_subject("p1", 0, ("adc",))
        index = prepare()
        assert states(index) == {"p1": "refused"} and "other modalities only" in problems_of(index, "p1")

    def test_refused_study_is_read_again_with_retry_or_if_changed(self, add_subject, prepare, tmp_path):
        path = add_subject("p1", 0) / "t1.nii.gz"
        whole = path.read_bytes()
        path.write_bytes(whole[:300])
        prepare()
        lines = (tmp_path / "dataset" / INDEX).read_text().count("\n")
        prepare()
        assert (tmp_path / "dataset" / INDEX).read_text().count("\n") == lines == 1
        prepare(retry=True)
        assert (tmp_path / "dataset" / INDEX).read_text().count("\n") == 2
        path.write_bytes(whole)
        assert states(prepare()) == {"p1": "ready"}

    def test_same_image_under_two_subjects_is_used_once(self, add_subject, prepare, tmp_path):
        folder = add_subject("a", 0, ("t1", "t2"))
        shutil.copytree(folder, tmp_path / "data" / "b")
        volume = read_volume(folder / "t2.nii.gz")
        (tmp_path / "data" / "c").mkdir()
        nibabel.save(nibabel.Nifti1Image(np.pad(volume.data, 4), volume.affine), tmp_path / "data" / "c" / "flair.nii")
        index = prepare()
        assert states(index) == {"a": "ready", "b": "duplicate", "c": "duplicate"}
        assert "as one of a" in problems_of(index, "b")
        assert len(SampleStore(tmp_path / "dataset" / PACKED).sizes()) == 1
        assert drawn(PretrainingDataset(tmp_path / "dataset")) == {"a"}

    def test_folder_with_other_files_is_refused_and_unchanged(self, add_subject, tmp_path):
        add_subject("p1", 0)
        with pytest.raises(InputError, match="empty folder"):
            prepare_dataset([], tmp_path / "data", ALL_TRAIN)
        assert [path.name for path in (tmp_path / "data").iterdir()] == ["p1"]


class TestExclusions:
    def test_list_of_subjects_files_and_hashes_is_excluded(self, add_subject, prepare, tmp_path):
        for number, name in enumerate(("sub-1", "p2", "p3", "p4", "p5")):
            add_subject(name, number)
        file_hash = hashlib.sha256((tmp_path / "data" / "p4" / "t1.nii.gz").read_bytes()).hexdigest()
        listed = tmp_path / "exclude.txt"
        listed.write_text(f"# evaluation\nSUB-1\n data/p2 \ndata/p3/t1.nii.gz\n{file_hash}  some/name.nii.gz\n")
        assert states(prepare(listed)) == dict.fromkeys(("sub-1", "p2", "p3", "p4"), "excluded") | {"p5": "ready"}
        assert drawn(PretrainingDataset(tmp_path / "dataset", "all")) == {"p5"}

    def test_copies_are_excluded_under_other_names(self, add_subject, prepare, make_volume, tmp_path):
        large = (96, 104, 88)
        secret = read_volume(add_subject("secret", 0, below="evaluation", shape=large) / "t1.nii.gz")
        add_subject("other", 1)
        coarse = secret.affine.copy()
        coarse[:3, :3] *= 2
        renamed = add_subject("renamed", 7) / "t1.nii.gz"
        shutil.copy(tmp_path / "evaluation" / "secret" / "t1.nii.gz", renamed)
        stored = add_subject("stored", 7) / "t1.nii.gz"
        affine = secret.affine[:, [1, 2, 0, 3]]
        nibabel.save(nibabel.Nifti1Image(2 * secret.data.transpose(1, 2, 0), affine), stored)
        altered = add_subject("altered", 7) / "t1.nii.gz"
        smaller = secret.data.reshape(48, 2, 52, 2, 44, 2).mean(axis=(1, 3, 5))
        nibabel.save(nibabel.Nifti1Image(smaller, coarse), altered)
        index = prepare(tmp_path / "evaluation")
        assert states(index) == dict.fromkeys(("renamed", "stored", "altered"), "excluded") | {"other": "ready"}
        assert "altered copy" in problems_of(index, "altered") and "whatever name" in problems_of(index, "renamed")
        assert len(SampleStore(tmp_path / "dataset" / PACKED).sizes()) == 1

    def test_links_and_unnamed_images_of_an_evaluation_are_excluded(self, add_subject, prepare, tmp_path):
        for number in range(3):
            add_subject(f"p{number}", number)
        add_subject("linked", 0, below="elsewhere")
        add_subject("", 1, ("x17",), below="evaluation/derivatives")
        (tmp_path / "evaluation" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        assert states(prepare(tmp_path / "evaluation")) == {"p0": "excluded", "p1": "excluded", "p2": "ready"}
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="nothing to exclude"):
            prepare(tmp_path / "empty")

    def test_exclusion_is_permanent_and_retroactive(self, add_subject, prepare, tmp_path):
        for number in range(3):
            add_subject(f"p{number}", number)
        prepare()
        assert drawn(PretrainingDataset(tmp_path / "dataset")) == {"p0", "p1", "p2"}
        shutil.copytree(tmp_path / "data" / "p0", tmp_path / "evaluation" / "other-name")
        assert states(prepare(tmp_path / "evaluation"))["p0"] == "excluded"
        assert len(SampleStore(tmp_path / "dataset" / PACKED).sizes()) == 2
        shutil.copytree(tmp_path / "data" / "p0", tmp_path / "later" / "third-name")
        shutil.rmtree(tmp_path / "evaluation")
        assert states(prepare(source="later"))["third-name"] == "excluded"
        assert drawn(PretrainingDataset(tmp_path / "dataset")) == {"p1", "p2"}

    def test_excluded_subjects_are_never_drawn(self, add_subject, prepare, tmp_path):
        """Any subjects, any list, any order of preparing and excluding."""
        for number in range(8):
            add_subject(f"sub-{number}", number)
        rng = np.random.default_rng(3)
        for trial in range(4):
            shutil.rmtree(tmp_path / "dataset", ignore_errors=True)
            chosen = {f"sub-{n}" for n in rng.choice(8, rng.integers(1, 8), replace=False)}
            listed = tmp_path / "list.txt"
            listed.write_text("\n".join(name.upper() if trial % 2 else name[4:] for name in chosen))
            if trial >= 2:
                prepare()
            prepare(listed)
            dataset = PretrainingDataset(tmp_path / "dataset", "all")
            assert set(dataset.subjects) == {f"sub-{n}" for n in range(8)} - chosen
            assert drawn(dataset) <= set(dataset.subjects)

    def test_unusable_list_of_exclusions_stops_the_preparation(self, add_subject, prepare, tmp_path):
        folder = add_subject("p1", 0)
        listed = tmp_path / "exclude.txt"
        listed.write_text("data/gone/t1.nii.gz\n")
        with pytest.raises(InputError, match="Line 1 of the list"):
            prepare(listed)
        listed.write_text("participant_id,sex,age\nsub-01,F,33\n")
        with pytest.raises(InputError, match="row of a table"):
            prepare(listed)
        (folder / "t1.nii.gz").write_bytes(b"damaged")
        with pytest.raises(InputError, match="cut short"):
            prepare(folder)
        (tmp_path / "dataset" / "exclusions.json").write_text("{")
        with pytest.raises(InputError, match="exclusions is damaged"):
            PretrainingDataset(tmp_path / "dataset")


class TestInterruptions:
    def test_killed_preparation_is_resumed_without_repetition(self, add_subject, prepare, tmp_path):
        for number in range(12):
            add_subject(f"p{number:02d}", number)
        code = (
            "import sys; from pathlib import Path\n"
            "from magpie_core.pretraining.dataset.preparation import prepare_dataset\n"
            "from magpie_core.pretraining.dataset.config import DatasetConfig\n"
            "from magpie_core.pretraining.dataset.sources import list_studies\n"
            "prepare_dataset(list_studies([Path(sys.argv[1])]).studies, Path(sys.argv[2]), "
            "DatasetConfig(validation_fraction=0.0))\n"
        )
        index = tmp_path / "dataset" / INDEX
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "data"), str(tmp_path / "dataset")])
        while not (index.exists() and index.read_text().count("\n") >= 3):
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # As a kill in the middle of a write leaves them.
        with index.open("a") as stream:
            stream.write('{"key": "half a li')
        half = next((tmp_path / "dataset" / PACKED).glob("*/")) / ".x.npy-abc.part"
        half.write_bytes(b"half")
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "dataset" / PACKED).glob("*/*.npy")}
        done = len(DatasetIndex(index).records)
        assert 3 <= done < 12
        found = prepare()
        assert states(found) == {f"p{number:02d}": "ready" for number in range(12)}
        assert len(DatasetIndex(index).records) == 12 and not half.exists()
        lines = [line for line in index.read_text().splitlines() if line.endswith("}")]
        assert len(lines) == 12
        kept = [path for path, time_ns in before.items() if path.stat().st_mtime_ns == time_ns]
        assert len(kept) >= done

    def test_cancelled_preparation_keeps_its_studies(self, add_subject, tmp_path):
        for number in range(4):
            add_subject(f"p{number}", number)
        studies = list_studies([tmp_path / "data"]).studies

        def stop(fraction: float, subject: str) -> None:
            if fraction >= 0.5:
                raise Cancelled

        with pytest.raises(Cancelled):
            prepare_dataset(studies, tmp_path / "dataset", ALL_TRAIN, progress=stop)
        assert len(PretrainingDataset(tmp_path / "dataset")) == 2
        prepare_dataset(studies, tmp_path / "dataset", ALL_TRAIN)
        assert len(PretrainingDataset(tmp_path / "dataset")) == 4

    def test_two_processes_prepare_the_same_as_one(self, add_subject, prepare, tmp_path):
        for number in range(3):
            add_subject(f"p{number}", number)
        shutil.copytree(tmp_path / "data" / "p0", tmp_path / "data" / "p9")
        alone = {r.key: (r.state, r.packed, r.modalities) for r in prepare().records.values()}
        shutil.rmtree(tmp_path / "dataset")
        together = {r.key: (r.state, r.packed, r.modalities) for r in prepare(processes=2).records.values()}
        assert alone == together

    @pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C in another way")
    @pytest.mark.parametrize("moment", ["while the processes start", "while they work"])
    def test_ctrl_c_ends_all_processes_without_a_traceback(self, add_subject, prepare, tmp_path, moment):
        for number in range(10):
            add_subject(f"p{number}", number, ("t1", "t2", "flair"), shape=(64, 72, 56))
        process = subprocess.Popen(
            [*PREPARE, tmp_path / "data", "-o", tmp_path / "dataset", "--processes", "3"]
            + ["--validation-fraction", "0"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        messages, sign = "", "studies found" if moment == "while the processes start" else " p0"
        try:
            while sign not in messages:
                messages += (line := process.stderr.readline())
                assert line, messages
            time.sleep(0.5 if moment == "while the processes start" else 0)
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
            messages += process.communicate(timeout=60)[1]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 130 and messages.rstrip().endswith("left behind.")
        assert "Traceback" not in messages and "KeyboardInterrupt" not in messages
        assert not list((tmp_path / "dataset").rglob("*.part"))
        assert len(DatasetIndex(tmp_path / "dataset" / INDEX).records) < 10
        assert states(prepare()) == {f"p{number}": "ready" for number in range(10)}

    def test_second_preparation_is_refused(self, add_subject, prepare, tmp_path):
        from filelock import FileLock

        add_subject("p1", 0)
        prepare()
        with FileLock(str(tmp_path / "dataset" / ".lock")), pytest.raises(ResourceError, match="Another process"):
            prepare()


class TestNames:
    """A name that is no text, as an old disk or an archive of another language leaves it."""

    @pytest.fixture
    def odd(self, add_subject, tmp_path) -> str:
        """Name of a subject between two others."""
        name = os.fsdecode(b"M\xfcller")
        add_subject("a", 0)
        add_subject("z", 1)
        try:
            os.fsencode(name).decode()
        except UnicodeDecodeError:
            pass
        else:
            pytest.skip("every name is text here")
        try:
            add_subject(name, 2)
        except (OSError, ResourceError):
            pytest.skip("this disk holds no such names")
        return name

    def test_study_is_prepared_and_drawn_like_others(self, odd, prepare, tmp_path):
        assert states(prepare()) == dict.fromkeys(("a", odd, "z"), "ready")
        lines = (tmp_path / "dataset" / INDEX).read_bytes()
        assert states(prepare()) == dict.fromkeys(("a", odd, "z"), "ready")
        assert (tmp_path / "dataset" / INDEX).read_bytes() == lines
        lines.decode("ascii")
        assert drawn(PretrainingDataset(tmp_path / "dataset")) == {"a", odd, "z"}

    def test_its_errors_and_exclusion_are_recorded(self, odd, prepare, tmp_path):
        shutil.copytree(tmp_path / "data" / "a", tmp_path / "evaluation" / odd)
        path = tmp_path / "data" / "z" / "t1.nii.gz"
        path.write_bytes(path.read_bytes()[:300])
        assert states(prepare(tmp_path / "evaluation")) == {"a": "excluded", odd: "excluded", "z": "refused"}

    def test_command_reports_it(self, odd, tmp_path):
        path = tmp_path / "data" / odd / "t1.nii.gz"
        path.write_bytes(path.read_bytes()[:300])
        dataset = tmp_path / odd
        done = subprocess.run(
            [*PREPARE, tmp_path / "data", "-o", dataset],
            capture_output=True,
            env={**os.environ, "LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8"},
        )
        assert done.returncode == 0 and b"2 studies of 2 subjects" in done.stdout, done.stderr.decode()
        assert "ller" in done.stdout.decode()
        with (dataset / "refused.csv").open(encoding="utf-8-sig", newline="") as stream:
            (row,) = csv.DictReader(stream)
        assert row["subject"].startswith("M") and "cut short" in row["what"]

    def test_keys_of_plain_names_are_stable(self):
        study = StudyFiles("Müller", "", {Modality.T1: Path("/data/Müller/t1.nii.gz")})
        assert study.key == hashlib.sha256("T1 /data/Müller/t1.nii.gz".encode()).hexdigest()[:32]


class TestDisk:
    def test_quota_evicts_the_least_recently_used(self, add_subject, prepare, tmp_path):
        for number in range(6):
            add_subject(f"p{number}", number)
        prepare()
        store = SampleStore(tmp_path / "dataset" / PACKED)
        sizes = store.sizes()
        quota = sum(sizes.values()) // 2
        used = sorted(sizes)[0]
        for key in sorted(sizes, reverse=True):
            os.utime(store._path(key), ns=(1, 1 + sorted(sizes, reverse=True).index(key)))
        assert store.get(used) is not None
        prepare(quota_bytes=quota)
        left = store.sizes()
        assert used in left and sum(left.values()) <= quota and len(left) == 3
        rng, dataset = np.random.default_rng(0), PretrainingDataset(tmp_path / "dataset")
        names = set()
        for _ in range(25):
            names.add(dataset.draw(rng).name)
            assert sum(store.sizes().values()) <= quota
        assert names == {f"p{number}" for number in range(6)} and len(dataset) == 6

    def test_preparing_within_a_quota_repeats_nothing(self, add_subject, prepare, tmp_path):
        for number in range(4):
            add_subject(f"p{number}", number)
        prepare(quota_bytes=13_000)
        lines = (tmp_path / "dataset" / INDEX).read_text()
        assert len(SampleStore(tmp_path / "dataset" / PACKED).sizes()) < 4
        prepare()
        assert (tmp_path / "dataset" / INDEX).read_text() == lines

    def test_quota_smaller_than_a_study_is_refused(self, add_subject, prepare):
        add_subject("p1", 0)
        with pytest.raises(ResourceError, match="smaller than a single study"):
            prepare(quota_bytes=100)

    def test_sample_prepared_again_is_the_same(self, add_subject, prepare, tmp_path):
        add_subject("p1", 0, ("t1", "t2"))
        (record,) = prepare().ready()
        before = np.array(PretrainingDataset(tmp_path / "dataset").draw(np.random.default_rng(0)).packed)
        store = SampleStore(tmp_path / "dataset" / PACKED)
        store._path(record.packed).write_bytes(b"damaged")
        after = PretrainingDataset(tmp_path / "dataset").draw(np.random.default_rng(0)).packed
        assert np.array_equal(before, after) and store.get(record.packed) is not None

    def test_missing_study_is_skipped(self, add_subject, prepare, tmp_path):
        for number in range(3):
            add_subject(f"p{number}", number)
        for record in prepare().ready():
            if record.subject != "p1":
                SampleStore(tmp_path / "dataset" / PACKED).remove(record.packed)
        shutil.rmtree(tmp_path / "data" / "p0")
        other = read_volume(tmp_path / "data" / "p2" / "t1.nii.gz")
        write_volume(Volume(other.data + (other.data > 0), other.affine), tmp_path / "data" / "p2" / "t1.nii.gz")
        assert drawn(PretrainingDataset(tmp_path / "dataset")) == {"p1"}


def test_file_in_use_on_windows_stays_and_the_next_is_evicted(tmp_path, monkeypatch, caplog):
    store = SampleStore(tmp_path)
    size = store.put("aa", np.zeros(1000, np.uint8))
    for age, key in enumerate(("cc", "bb", "aa")):
        store.put(key, np.zeros(1000, np.uint8))
        os.utime(tmp_path / key / f"{key}.npy", (age, age))
    unlink = Path.unlink

    def held(path, missing_ok=False):
        if path.name == "cc.npy":
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", held)
    store.set_quota(2 * size)
    assert set(store.sizes()) == {"aa", "cc"}
    assert "in use" in caplog.text and "cc.npy" in caplog.text
    assert store.remove("aa") and not store.remove("cc")


def test_quota_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="quota"):
        PreparationOptions(quota_bytes=float("nan"))


def test_packed_study_that_cannot_be_opened_now_stays(tmp_path):
    resource = pytest.importorskip("resource")
    store = SampleStore(tmp_path)
    store.put("abcdef", np.zeros((2, 4, 4, 4), np.uint8))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # no file can be opened any more
    try:
        with pytest.raises(ResourceError, match="Too many open files"):
            store.get("abcdef")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert store.get("abcdef").shape == (2, 4, 4, 4)


class TestChanges:
    def test_moved_studies_are_not_prepared_again(self, add_subject, prepare, tmp_path):
        add_subject("p1", 0, ("t1", "t2"))
        (before,) = prepare().ready()
        (tmp_path / "elsewhere").mkdir()
        shutil.move(tmp_path / "data" / "p1", tmp_path / "elsewhere" / "p1")
        (after,) = prepare(source="elsewhere").ready()
        assert after.packed == before.packed and after.modalities == ("T1", "T2") and after.key != before.key
        assert len(SampleStore(tmp_path / "dataset" / PACKED).sizes()) == 1

    def test_study_with_an_added_modality_replaces_the_old(self, add_subject, prepare, tmp_path):
        add_subject("p1", 0, ("t1",))
        prepare()
        add_subject("p1", 0, ("t1", "flair"))
        (record,) = prepare().ready()
        assert record.modalities == ("T1", "FLAIR")
        assert len(SampleStore(tmp_path / "dataset" / PACKED).sizes()) == 1

    def test_changed_file_is_prepared_again(self, add_subject, prepare, tmp_path):
        add_subject("p1", 0)
        (before,) = prepare().ready()
        add_subject("p1", 5)
        (after,) = prepare().ready()
        assert after.packed != before.packed
        assert list(SampleStore(tmp_path / "dataset" / PACKED).sizes()) == [after.packed]

    @pytest.mark.parametrize("processes", [1, 2])
    def test_studies_that_exchanged_their_images_both_stay(self, add_subject, prepare, tmp_path, processes):
        add_subject("a", 0)
        add_subject("b", 1)
        before = {record.subject: record.packed for record in prepare().ready()}
        add_subject("a", 1)
        add_subject("b", 0)
        after = {record.subject: record.packed for record in prepare(processes=processes).ready()}
        assert after == {"a": before["b"], "b": before["a"]}
        assert set(SampleStore(tmp_path / "dataset" / PACKED).sizes()) == set(before.values())
        assert drawn(PretrainingDataset(tmp_path / "dataset")) == {"a", "b"}

    def test_interrupted_exchange_gives_no_image_to_two_studies(self, add_subject, prepare, tmp_path):
        add_subject("a", 0)
        add_subject("b", 1)
        prepare()
        add_subject("a", 1)
        add_subject("b", 0)
        studies = list_studies([tmp_path / "data"]).studies

        def stop(fraction: float, subject: str) -> None:
            raise Cancelled

        with pytest.raises(Cancelled):
            prepare_dataset(studies, tmp_path / "dataset", ALL_TRAIN, progress=stop)
        assert PretrainingDataset(tmp_path / "dataset").subjects == ("a",)
        assert states(prepare()) == {"a": "ready", "b": "ready"}

    def test_copy_replaces_an_original_that_was_changed(self, add_subject, prepare, tmp_path):
        add_subject("a", 0)
        shutil.copytree(tmp_path / "data" / "a", tmp_path / "data" / "b")
        assert states(prepare()) == {"a": "ready", "b": "duplicate"}
        add_subject("a", 1)
        assert states(prepare()) == {"a": "ready", "b": "ready"}
        lines = (tmp_path / "dataset" / INDEX).read_bytes()
        prepare()
        assert (tmp_path / "dataset" / INDEX).read_bytes() == lines

    def test_mutual_duplicates_are_prepared_again(self, add_subject, prepare, tmp_path):
        add_subject("a", 0)
        add_subject("b", 1)
        index = prepare()
        for record in index.ready():
            index.add(replace(record, state="duplicate"))
        assert states(prepare()) == {"a": "ready", "b": "ready"}

    def test_copy_of_an_excluded_subject_is_excluded(self, add_subject, prepare, tmp_path):
        add_subject("a", 0)
        shutil.copytree(tmp_path / "data" / "a", tmp_path / "data" / "b")
        prepare()
        (tmp_path / "list.txt").write_text("a\n")
        assert states(prepare(tmp_path / "list.txt")) == {"a": "excluded", "b": "duplicate"}

    def test_touched_original_stays_the_original(self, add_subject, prepare, tmp_path):
        add_subject("b", 0)
        prepare()
        shutil.copytree(tmp_path / "data" / "b", tmp_path / "data" / "a")
        os.utime(tmp_path / "data" / "b" / "t1.nii.gz", (1, 1))
        assert states(prepare()) == {"a": "duplicate", "b": "ready"}

    def test_subject_renamed_in_a_manifest_is_renamed(self, add_subject, tmp_path):
        add_subject("p1", 0)
        for name in ("old", "new"):
            (tmp_path / "list.csv").write_text(f"subject,path\n{name},data/p1\n")
            prepare_dataset(list_studies([tmp_path / "list.csv"]).studies, tmp_path / "dataset", ALL_TRAIN)
            assert PretrainingDataset(tmp_path / "dataset").subjects == (name,)


def test_brain_is_extracted_from_whole_heads(tmp_path):
    """A real raw study is prepared like every raw study."""
    cases = os.environ.get("MAGPIE_CASES")
    if not cases:
        pytest.skip("needs real cases: set MAGPIE_CASES to their folder")
    source = tmp_path / "brainix"
    source.mkdir()
    shutil.copy(Path(cases) / "raw" / "brainix" / "t1.nii.gz", source)
    (record,) = prepare_dataset(list_studies([source]).studies, tmp_path / "dataset", ALL_TRAIN).ready()
    assert record.modalities == (Modality.T1.value,) and any("whole head" in text for text in record.warnings)
    sample = PretrainingDataset(tmp_path / "dataset").draw(np.random.default_rng(0))
    inside = sample.patch((0, 0, 0), sample.shape).images[0] != 0
    assert 900 < float(inside.sum()) * 8 / 1000 < 1900  # ml
