"""`magpie cohort export`: what is written for other programs, and what is said about it."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import write_volume

NAMES = ("t1", "t1ce", "t2", "flair")


@pytest.fixture
def add(magpie, make_volume, tmp_path):
    """Add a study of other content with `magpie cohort add`: `names`, label integers, and their schema."""
    cohort = tmp_path / "cohort"
    assert magpie("cohort", "create", cohort).exit_code == 0

    def add_study(number, *, names=NAMES, values=(1, 2, 3), schema="magpie", thick=False):
        folder = tmp_path / f"s{number}"
        folder.mkdir()
        for place, name in enumerate(names):
            volume = make_volume(seed=10 * number + place)
            if thick and name == "flair":
                affine = volume.affine @ np.diag([1, 1, 2, 1])
                affine[2, 3] += 0.5  # the middle of two slices
                pairs = volume.data.reshape(*volume.shape[:2], -1, 2)
                volume = Volume(pairs.mean(axis=3, dtype=np.float32), affine)
            write_volume(volume, folder / f"{name}.nii.gz")
        grid = make_volume()
        labels = np.zeros(grid.shape, np.uint8)
        for place, value in enumerate(values):  # core, edema and enhancing tumor, each of its own size
            labels[5 + 4 * place : 8 + 4 * place, 12 : 16 + place, 8 + number : 14 + number] = value
        write_volume(Volume(labels, grid.affine), tmp_path / f"s{number}-seg.nii.gz")
        options = ("--patient", f"p{number}", "--schema", schema)
        done = magpie("cohort", "add", cohort, folder, tmp_path / f"s{number}-seg.nii.gz", *options)
        assert done.exit_code == 0, done.output

    return add_study


@pytest.mark.parametrize("layout", ["nnunet", "datalist"])
def test_mixed_channels_and_labels_become_one_order_and_one_schema(magpie, add, tmp_path, layout):
    add(0)
    add(1, names=("t1ce", "t2", "flair"), values=(1, 2, 4), schema="brats-2022")
    add(2, values=(2, 1, 3), schema="msd")
    target = tmp_path / ("list.json" if layout == "datalist" else "Dataset001_Glioma")
    done = magpie("cohort", "export", tmp_path / "cohort", target, "--as", layout, "--folds", 3)
    assert done.exit_code == 0, done.output
    case = Cohort(tmp_path / "cohort").cases()[1].name
    assert f"T1, missing in {case}" in done.stderr and "--modalities" in done.stderr
    folder = target.with_suffix("")
    described = json.loads((target if layout == "datalist" else target / "dataset.json").read_text())
    channels = described["modality" if layout == "datalist" else "channel_names"]
    assert channels == {"0": "T1CE", "1": "T2", "2": "FLAIR"}
    labels = sorted((folder / "labelsTr").iterdir())
    assert len(labels) == 3 and len(list((folder / "imagesTr").iterdir())) == 9
    for path in labels:  # core 1, edema 2, enhancing tumor 3, whatever they were
        values, counts = np.unique(np.asarray(nibabel.load(path).dataobj), return_counts=True)
        assert dict(zip(values.tolist(), counts.tolist(), strict=True)) | {0: 0} == {0: 0, 1: 72, 2: 90, 3: 108}
    again = magpie("cohort", "export", tmp_path / "cohort", target, "--as", layout, "--folds", 3)
    assert again.exit_code == 3 and "exists already" in again.stderr


def test_a_file_of_the_users_is_not_overwritten_by_a_datalist(magpie, add, tmp_path):
    add(0)
    add(1)
    (tmp_path / "list.json").write_text("notes of mine")
    done = magpie("cohort", "export", tmp_path / "cohort", tmp_path / "list.json", "--as", "datalist")
    assert done.exit_code == 3 and "exists already" in done.stderr
    assert (tmp_path / "list.json").read_text() == "notes of mine" and not (tmp_path / "list").exists()


def test_channels_of_other_sizes_are_brought_to_one_grid(magpie, add, tmp_path):
    add(0, thick=True)
    add(1, thick=True)
    done = magpie("cohort", "export", tmp_path / "cohort", tmp_path / "Dataset001_Glioma", "--json")
    assert done.exit_code == 0, done.output
    files = sorted((tmp_path / "Dataset001_Glioma").rglob("*.nii.gz"))
    assert len(files) == 10 and {nibabel.load(path).shape for path in files} == {(28, 32, 24)}
    notes = json.loads(done.stdout)["notes"]
    assert sum("FLAIR resampled to the grid of its T1ce" in note for note in notes) == 2


@pytest.mark.parametrize("layout", ["nnunet", "datalist", "bids"])
def test_labels_emptied_in_place_are_not_exported(magpie, add, tmp_path, layout):
    add(0)
    add(1)
    case = Cohort(tmp_path / "cohort").cases()[0]
    image = nibabel.load(case.labels)
    nibabel.save(nibabel.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), case.labels)
    target = tmp_path / ("list.json" if layout == "datalist" else "out")
    done = magpie("cohort", "export", tmp_path / "cohort", target, "--as", layout)
    assert done.exit_code == 3 and case.name in done.stderr and "changed since it was added" in done.stderr
    assert not target.exists() and not (tmp_path / "list").exists()


@pytest.mark.parametrize(
    "options", [("--as", "zip"), ("--modalities", "T1,T9"), ("--modalities", "PET"), ("--folds", 9)]
)
def test_options_that_cannot_be_used_are_refused_before_anything_is_written(magpie, add, tmp_path, options):
    add(0)
    add(1)
    done = magpie("cohort", "export", tmp_path / "cohort", tmp_path / "out", *options)
    assert done.exit_code == 3 and not (tmp_path / "out").exists(), done.output


@pytest.mark.parametrize("name", ["with space/Dataset001 Größe", "数据/Dataset001_x", "n" * 200])
def test_any_name_and_a_missing_parent_folder_work(magpie, add, tmp_path, name):
    add(0)
    done = magpie("cohort", "export", tmp_path / "cohort", tmp_path / name)
    assert done.exit_code == 0, done.output
    assert (tmp_path / name / "dataset.json").is_file()
