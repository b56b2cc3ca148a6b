"""Discovery of the modalities of a study in folders and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.volume import Volume
from magpie_core.io.discovery import find_modalities, read_study
from magpie_core.io.nifti import write_volume

T1, T1CE, T2, FLAIR = Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR
ALL = {T1, T1CE, T2, FLAIR}


@pytest.fixture
def lay(tmp_path: Path) -> Callable[..., Path]:
    """Make empty files by name and return their folder."""

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


@pytest.fixture
def store(tmp_path: Path, make_volume) -> Callable[..., Path]:
    """Write a phantom of its own under each name and return their folder."""

    def make(*names: str) -> Path:
        for seed, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_volume(make_volume(seed=seed), path)
        return tmp_path

    return make


def refused(source: object, **options: object) -> InputError:
    """Return the error of reading a study; it always has a remedy."""
    with pytest.raises(InputError) as caught:
        read_study(source, **options)  # type: ignore[arg-type]
    assert caught.value.remedy
    return caught.value


# --- layouts


@pytest.mark.parametrize(
    "names",
    [
        ["t1.nii.gz", "t1c.nii.gz", "t2.nii.gz", "flair.nii.gz", "seg.nii.gz"],
        ["X_01_t1.nii.gz", "X_01_t1ce.nii.gz", "X_01_t2.nii.gz", "X_01_flair.nii.gz", "X_01_seg.nii.gz"],
        ["G-5-100-t1n.nii.gz", "G-5-100-t1c.nii.gz", "G-5-100-t2w.nii.gz", "G-5-100-t2f.nii.gz"],
        ["T1W.nii", "T1+C.nii", "T2w.nii", "FLAIR.nii", "roi.nii", "notes.txt", ".t1_hidden.nii"],
        [f"anat/sub-1_{name}.nii.gz" for name in ("T1w", "ce-gd_T1w", "T2w", "FLAIR", "desc-brain_mask")],
        [f"ses-1/anat/sub-1_ses-1_{name}.nii.gz" for name in ("T1w", "ce-gd_T1w", "T2w", "FLAIR")],
        ["3_T1_MPRAGE.nii.gz", "4_T1_MPRAGE_GD.nii.gz", "5_T2_TSE.nii.gz", "6_T2_FLAIR.nii.gz"],
        [f"case_{name}.nii/case_{name}.nii" for name in ("t1", "t1ce", "t2", "flair", "seg")],
    ],
    ids=["plain", "brats-2018", "brats-2023", "signs", "bids", "bids-session", "converter", "file-in-folder"],
)
def test_the_four_modalities_are_found(names: list[str], lay) -> None:
    found = find_modalities(lay(*names))
    assert set(found) == ALL
    assert list(found) == [T1, T1CE, T2, FLAIR]
    assert all(path.is_file() for path in found.values())


def test_read_study_names_the_study_after_the_folder(store) -> None:
    folder = store("case 7/t1.nii.gz", "case 7/t1ce.nii.gz", "case 7/t2.nii.gz", "case 7/flair.nii.gz")
    study = read_study(folder / "case 7")
    assert set(study.modalities) == ALL
    assert study.name == "case_7"
    assert study.warnings == ()
    assert study.volumes[T2].source == str(folder / "case 7" / "t2.nii.gz")
    assert read_study(folder / "case 7", name="other").name == "other"


def test_read_study_names_the_study_after_the_working_directory(store, monkeypatch) -> None:
    monkeypatch.chdir(store("t1.nii.gz", "t1ce.nii.gz", "flair.nii.gz"))
    assert read_study(".").name == Path.cwd().name


def test_one_file_is_a_study_if_its_name_states_the_modality(store) -> None:
    folder = store("X_01_flair.nii.gz", "image.nii.gz")
    study = read_study(folder / "X_01_flair.nii.gz")
    assert study.modalities == (FLAIR,)
    assert study.name == "x_01"
    assert "states no modality" in str(refused(folder / "image.nii.gz"))


def test_files_given_by_modality_are_read(store) -> None:
    folder = store("a/1.nii.gz", "a/2.nii.gz")
    study = read_study({T1CE: folder / "a/1.nii.gz", FLAIR: folder / "a/2.nii.gz"})
    assert study.modalities == (T1CE, FLAIR)
    assert study.name == "a"


# --- several visits, several candidates


@pytest.mark.parametrize(
    ("names", "visits"),
    [
        (["study1_T1W.nii", "study1_FLAIR.nii", "study2_T1W.nii", "study2_FLAIR.nii"], "study1, study2"),
        (["study1_T1W.nii", "study2_FLAIR.nii"], "study1, study2"),
        (["sub-1_ses-1_T1w.nii", "sub-1_ses-2_T1w.nii"], "sub-1_ses-1, sub-1_ses-2"),
        (["sub-1/anat/sub-1_T1w.nii", "sub-2/ses-1/anat/sub-2_ses-1_T1w.nii"], "sub-1, sub-2_ses-1"),
        (["a/t1.nii", "a/flair.nii", "b/t1.nii", "b/flair.nii"], "a, b"),
        (["G-5-100-t1n.nii", "G-5-101-t1c.nii"], "g_5_100, g_5_101"),
        (["a_0000.nii", "a_0001.nii", "b_0000.nii", "b_0001.nii"], "a, b"),
    ],
)
def test_several_visits_are_refused_by_name(names: list[str], visits: str, lay) -> None:
    error = refused(lay(*names))
    assert "2 studies" in error.what
    assert error.cause == visits


def test_two_candidates_for_one_modality_are_both_named(lay) -> None:
    error = refused(lay("t1.nii.gz", "t1_mprage.nii.gz", "flair.nii.gz"))
    assert "could be the T1" in error.what
    assert "t1.nii.gz" in error.cause
    assert "t1_mprage.nii.gz" in error.cause


def test_a_modality_compressed_and_uncompressed_is_ambiguous(lay) -> None:
    assert "t1.nii and t1.nii.gz" in refused(lay("t1.nii", "t1.nii.gz")).cause


def test_an_unnamed_file_beside_a_named_study_is_no_other_visit(lay) -> None:
    assert set(find_modalities(lay("X_01_t1.nii", "X_01_t2.nii", "flair.nii"))) == {T1, T2, FLAIR}


def test_derivatives_are_ignored(lay) -> None:
    folder = lay("sub-1/anat/sub-1_T1w.nii", "derivatives/sub-1/anat/sub-1_T1w.nii")
    assert find_modalities(folder)[T1] == folder / "sub-1/anat/sub-1_T1w.nii"


# --- a given order


def test_numbered_files_need_an_order(lay) -> None:
    folder = lay(*(f"case_{channel:04d}.nii.gz" for channel in range(4)))
    assert "--order FLAIR,T1,T1CE,T2" in refused(folder).remedy
    found = find_modalities(folder, order=[FLAIR, T1, T1CE, T2])
    assert found[FLAIR].name == "case_0000.nii.gz"
    assert found[T2].name == "case_0003.nii.gz"
    assert find_modalities(folder, order="FLAIR,T1,T1gd,T2") == found
    assert "3 modalities were given" in str(refused(folder, order=[FLAIR, T1, T2]))
    assert "twice" in str(refused(folder, order=[FLAIR, T1, T1, T2]))
    assert "not the name of a modality" in str(refused(folder, order="FLAIR,T1,T3,T2"))


def test_a_gap_in_the_numbers_is_refused(lay) -> None:
    assert "_0000, _0002" in str(refused(lay("a_0000.nii", "a_0002.nii"), order=[T1, T2]))


def test_one_file_with_all_modalities_needs_an_order(tmp_path: Path, make_volume) -> None:
    import nibabel

    volumes = [make_volume(seed=seed) for seed in range(4)]
    stack = np.stack([volume.data for volume in volumes], axis=-1)
    path = tmp_path / "BRATS_001.nii.gz"
    nibabel.save(nibabel.Nifti1Image(stack, volumes[0].affine), path)
    assert "states no modality" in str(refused(path))
    assert "4 images" in str(refused({T1: path}))
    for source in (path, tmp_path):
        study = read_study(source, order="FLAIR,T1w,T1gd,T2w")
        assert (study.volumes[T1CE].data == volumes[2].data).all()
    assert read_study(path, order="FLAIR,T1w,T1gd,T2w").name == "BRATS_001"
    assert "there are 4 images" in str(refused(path, order=[FLAIR, T1]))


# --- nothing to find


def test_empty_missing_and_unreadable_folders_are_refused(tmp_path: Path, monkeypatch) -> None:
    assert "no image in the folder" in str(refused(tmp_path))
    assert "no such file or folder" in str(refused(tmp_path / "none"))
    (tmp_path / "IM1.dcm").write_bytes(b"no image")
    assert "There is no DICOM image" in str(refused(tmp_path))
    (tmp_path / "IM1.dcm").unlink()
    (tmp_path / "scan.nii").touch()
    assert "it holds scan.nii" in refused(tmp_path).cause

    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    assert "Permission denied" in str(refused(tmp_path))


def test_an_empty_mapping_and_one_file_given_twice_are_refused(store) -> None:
    assert "No image was given" in str(refused({}))
    folder = store("a.nii.gz")
    error = refused({T1: folder / "a.nii.gz", T2: folder / "a.nii.gz"})
    assert "given as T1 and as T2" in error.what


def test_a_faulty_file_is_named(store) -> None:
    folder = store("t1.nii.gz", "flair.nii.gz")
    content = (folder / "flair.nii.gz").read_bytes()
    (folder / "flair.nii.gz").write_bytes(content[:-100])
    assert refused(folder).source == str(folder / "flair.nii.gz")


def test_repairs_are_in_the_warnings(tmp_path: Path, make_volume) -> None:
    for name, seed in (("t1ce.nii.gz", 0), ("flair.nii.gz", 1)):
        volume = make_volume(seed=seed)
        data = volume.data.copy()
        if name == "flair.nii.gz":
            data[0, 0, :3] = np.nan
        write_volume(Volume(data, volume.affine), tmp_path / name)
    assert "not finite" in str(refused(tmp_path))
    (warning,) = read_study(tmp_path, repair=True).warnings
    assert "flair.nii.gz: 3 voxels" in warning
