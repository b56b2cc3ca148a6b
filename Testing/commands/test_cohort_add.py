"""`magpie cohort add` and `import`: nothing comes in silently."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.label_schema import SCHEMAS, label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import read_segmentation, write_segmentation

SHAPE = (28, 32, 24)
AFFINE = np.diag([-1.0, -1, 1, 1])
AFFINE[:3, 3] = (-20, 30, 5)
NAMES = ("t1", "t1ce", "t2", "flair")


def tumor(values=(1, 2, 3)) -> np.ndarray:
    """Core inside, rim around it, edema outside."""
    labels = np.zeros(SHAPE, np.uint8)
    core, edema, rim = values
    labels[5:15, 13:25, 7:19] = edema
    labels[8:13, 16:22, 10:16] = core
    labels[9:11, 17:20, 11:14] = rim
    return labels


@pytest.fixture
def cohort(tmp_path, magpie) -> Path:
    """An empty cohort."""
    assert magpie("cohort", "create", tmp_path / "cohort").exit_code == 0
    return tmp_path / "cohort"


@pytest.fixture
def make(tmp_path, make_volume):
    """Write a study (`who` differs) and its labels; return both paths."""

    def write(who=0, labels=None, name="seg.nii.gz", affine=AFFINE, pattern="{}.nii.gz", place=None):
        folder = place or tmp_path / f"study{who}"
        folder.mkdir(parents=True, exist_ok=True)
        for number, modality in enumerate(NAMES):
            write_volume(make_volume(SHAPE, seed=10 * who + number), folder / pattern.format(modality))
        path = folder / name if place else tmp_path / f"{who}-{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(tumor() if labels is None else labels, affine), str(path))
        return folder, path

    return write


def stored(cohort: Path) -> dict[str, float]:
    """Milliliters of the only case."""
    (case,) = Cohort(cohort).cases()
    labels = read_segmentation(case.labels)
    return {part.value: labels.volume_ml(part) for part in (Tissue.NCR, Tissue.ED, Tissue.ET)}


def words(result) -> str:
    """Output in one line."""
    return " ".join(result.output.split())


def outside() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[:4, :5, :5] = 3
    return labels


def stroke() -> np.ndarray:
    labels = tumor()
    labels[24:27, :3, :3] = 2
    return labels


SLIPS = {
    "empty": (np.zeros(SHAPE, np.uint8), "magpie", "--allow-empty", "no tumor"),
    "outside": (outside(), "magpie", "--allow-outside", "100 %"),
    "a stroke outside": (stroke(), "magpie", "--allow-outside", "0.03 ml"),
    "4 as cavity": (tumor((1, 2, 4)), "brats-2024", "--allow-cavity", "resection cavity"),
    "necrosis around edema": (tumor((1, 2, 3)), "msd", "--allow-swapped", "swapped"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_what_may_be_a_slip_needs_a_yes(magpie, cohort, make, slip):
    labels, schema, option, said = SLIPS[slip]
    study, path = make(0, labels)
    refused = magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", schema)
    assert refused.exit_code == 3 and option in words(refused) and said in words(refused), refused.output
    assert Cohort(cohort).cases() == []
    meant = magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", schema, option)
    assert meant.exit_code == 0 and "Stored: " in meant.output, meant.output


def test_two_slips_are_asked_about_at_once(magpie, cohort, make):
    study, path = make(0, outside() // 3 * 4)
    refused = magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "brats-2024")
    assert "--allow-outside --allow-cavity" in words(refused)


def test_a_plain_case_is_added_with_its_milliliters(magpie, cohort, make):
    study, path = make()
    done = magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "magpie")
    assert done.exit_code == 0
    assert "Edema or FLAIR hyperintensity 1.26 ml, Enhancing tumor 0.02 ml" in words(done)


def test_the_segmentation_of_another_patient_is_noticed(magpie, cohort, make):
    study, path = make(0)
    other, _ = make(1)
    magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "magpie")
    again = magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "magpie")
    assert again.exit_code == 3 and "study already" in words(again)
    slip = magpie("cohort", "add", cohort, other, path, "--patient", 2, "--schema", "magpie")
    assert slip.exit_code == 0 and "has the same segmentation of other images" in words(slip)


@pytest.mark.parametrize("how", ["integers", "place", "edited"])
def test_the_segmentation_of_another_patient_is_noticed_however_it_is_stored(magpie, cohort, make, how):
    study, path = make(0)
    other, again = make(1, tumor((1, 2, 4)) if how == "integers" else None)
    magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "magpie")
    if how == "place":
        for file in (*other.iterdir(), again):
            image = nibabel.load(file)
            affine = image.affine.copy()
            affine[:3, 3] += (12, -7, 3)
            nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), file)
    if how == "edited":
        (case,) = Cohort(cohort).cases()
        labels = read_segmentation(case.labels)
        write_segmentation(replace(labels, labels=np.roll(labels.labels, 1, 0) * (tumor() > 0)), case.labels)
        assert magpie("cohort", "accept-edit", cohort, case.name, "--reason", "x").exit_code == 0
        write_segmentation(replace(read_segmentation(case.labels), affine=labels.affine), again)
    schema = [] if how == "edited" else ["--schema", "brats-2022" if how == "integers" else "magpie"]
    slip = magpie("cohort", "add", cohort, other, again, "--patient", 2, *schema)
    assert slip.exit_code == 0 and "has the same segmentation of other images" in words(slip), slip.output


def test_foreign_labels_are_refused_with_the_schemas_that_fit_and_what_they_mean(magpie, cohort, make):
    study, path = make(0, tumor((1, 2, 4)))
    refused = magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "magpie")
    assert refused.exit_code == 3
    assert "brats-2022 (1 NCR, 2 ED, 4 ET) or brats-2024 (1 NCR, 2 ED, 3 ET, 4 RC)" in words(refused)
    unknown = magpie("cohort", "add", cohort, study, path, "--patient", 1)
    assert unknown.exit_code == 3 and "--schema" in words(unknown)


def test_a_schema_that_contradicts_the_sidecar_is_refused_and_may_overrule_it(magpie, cohort, make, tmp_path):
    study, path = make()
    write_segmentation(Segmentation(tumor(), AFFINE, label_schema("magpie")), path)
    refused = magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "msd")
    assert refused.exit_code == 3 and "--override-schema" in words(refused)
    assert "schema msd" in words(refused) and "0-seg.json" in words(refused)
    same = magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "brats-2023")
    assert same.exit_code == 0 and stored(cohort)["ED"] == pytest.approx(1.26)
    other, path = make(1)
    write_segmentation(Segmentation(tumor((2, 1, 3)), AFFINE, label_schema("magpie")), path)
    over = magpie("cohort", "add", cohort, other, path, "--patient", 2, "--schema", "msd", "--override-schema")
    assert over.exit_code == 0 and "hyperintensity 1.26 ml" in words(over), over.output
    for folder in ("p", "r"):
        (tmp_path / folder).mkdir()
        write_segmentation(Segmentation(tumor(), AFFINE, label_schema("magpie")), tmp_path / folder / "a.nii.gz")
    assert magpie("evaluate", tmp_path / "p", tmp_path / "r", "--reference-schema", "msd").exit_code == 3


def test_a_mask_of_the_whole_tumor_that_is_read_as_core_is_said(magpie, cohort, make):
    for who, labels in enumerate((tumor(), (tumor() > 0).astype(np.uint8))):
        study, path = make(who, labels)
        added = magpie("cohort", "add", cohort, study, path, "--patient", who, "--schema", "magpie")
        assert added.exit_code == 0 and ("which tissue is where" in words(added)) == bool(who), added.output


def test_a_label_map_of_bids_in_the_sidecar_is_read(magpie, cohort, make):
    study, path = make(0, tumor((2, 1, 3)))
    Path(str(path).replace(".nii.gz", ".json")).write_text('{"LabelMap": {"1": "edema", "2": "necrosis", "3": "ET"}}')
    refused = magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "magpie")
    assert refused.exit_code == 3 and "two meanings" in words(refused)
    assert magpie("cohort", "add", cohort, study, path, "--patient", 1).exit_code == 0
    assert stored(cohort)["NCR"] < stored(cohort)["ED"]


def test_an_nnunet_dataset_means_what_its_description_says(magpie, cohort, make, tmp_path):
    dataset = tmp_path / "Dataset137"
    folder, _ = make(0, tumor((2, 1, 3)))
    for part in ("imagesTr", "labelsTr"):
        (dataset / part).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (folder / f"{name}.nii.gz").rename(dataset / "imagesTr" / f"pat01_visit1_{number:04d}.nii.gz")
    (tmp_path / "0-seg.nii.gz").rename(dataset / "labelsTr" / "pat01_visit1.nii.gz")
    described = {
        "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"},
        "labels": {"background": 0, "edema": 1, "necrosis": 2, "enhancing tumor": 3},
    }
    (dataset / "dataset.json").write_text(json.dumps(described))
    wrong = magpie("cohort", "import", cohort, dataset, "--schema", "brats-2023")
    assert wrong.exit_code == 3 and "dataset.json says 1 ED" in words(wrong)
    done = magpie("cohort", "import", cohort, dataset)
    assert done.exit_code == 0 and stored(cohort) == pytest.approx({"NCR": 0.162, "ED": 1.26, "ET": 0.018})
    assert "patient pat01" in words(done)


@pytest.mark.parametrize("how", ["flipped", "cropped", "float"])
def test_labels_in_another_storage_order_are_the_same(magpie, cohort, make, tmp_path, how):
    affine = AFFINE.copy()
    labels = tumor()
    if how == "flipped":
        labels, affine = labels[::-1], AFFINE @ np.array([[-1, 0, 0, 27], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    elif how == "cropped":
        affine[:3, 3] += affine[:3, :3] @ (3, 4, 2)
        labels = labels[3:20, 4:28, 2:21]
    else:
        labels = labels.astype(np.float64)
    study, path = make(0, np.ascontiguousarray(labels), affine=affine)
    done = magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "magpie")
    assert done.exit_code == 0, done.output
    (case,) = Cohort(cohort).cases()
    read = read_segmentation(case.labels)
    np.testing.assert_array_equal(read.labels, tumor())
    np.testing.assert_allclose(read.affine, AFFINE)


def test_labels_on_the_grid_of_a_derived_volume_are_refused_with_what_to_do(magpie, cohort, make):
    study, path = make(0, tumor()[::2, ::2, ::2], affine=AFFINE @ np.diag([2, 2, 2, 1]))
    refused = magpie("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "magpie")
    assert refused.exit_code == 3 and "Export it on the grid of one of the images" in words(refused)


def test_adding_reads_a_study_as_segmenting_does(magpie, cohort, make, tmp_path):
    study, path = make(pattern="se_{}x.nii.gz")
    files = [word for name in NAMES for word in (f"--{name}", study / f"se_{name}x.nii.gz")]
    both = magpie("cohort", "add", cohort, study, path, *files, "--patient", 1, "--schema", "magpie")
    assert both.exit_code == 2 and "either" in words(both)
    assert magpie("cohort", "add", cohort, path, "--patient", 1, "--schema", "magpie").exit_code == 2
    done = magpie("cohort", "add", cohort, path, *files, "--patient", 1, "--schema", "magpie")
    assert done.exit_code == 0, done.output
    (case,) = Cohort(cohort).cases()
    assert len(case.images) == 4


def test_adding_has_the_orientation_option_that_a_refusal_names(magpie, cohort, make, make_volume):
    study, path = make()
    for number, name in enumerate(NAMES):
        image = nibabel.Nifti1Image(make_volume(SHAPE, seed=number).data, AFFINE)
        other = AFFINE.copy()
        other[0, 3] += 4
        image.set_sform(AFFINE, 1)
        image.set_qform(other, 1)
        nibabel.save(image, str(study / f"{name}.nii.gz"))
    command = ("cohort", "add", cohort, study, path, "--patient", 1, "--schema", "magpie")
    refused = magpie(*command)
    assert refused.exit_code == 3 and "command line: --orientation" in words(refused)
    done = magpie(*command, "--orientation", "sform")
    assert done.exit_code == 0, done.output


def test_import_takes_every_file_ending_and_says_what_it_leaves_out(magpie, cohort, make, tmp_path):
    for who, ending in enumerate((".nii.gz", ".nii", ".nii.gz")):
        make(who, name=f"x_seg{ending}", pattern="x_{}" + ending, place=tmp_path / "b" / f"BraTS20_{who:03d}")
    (tmp_path / "b" / "BraTS20_002" / "x_seg.nii.gz").unlink()
    first = magpie("cohort", "import", cohort, tmp_path / "b", "--schema", "brats-2023")
    assert first.exit_code == 3 and "2 of 3 cases added" in words(first)
    assert "BraTS20_002: The folder has images but no segmentation" in words(first)
    assert "has the same segmentation" in words(first)


def test_import_keeps_visits_of_a_patient_together(magpie, cohort, make, tmp_path):
    names = ["BraTS-GLI-00005-100", "BraTS-GLI-00005-101", "BraTS-GLI-00006-100", "p7/2019-01-01", "p7/2020-01-01"]
    for who, name in enumerate(names):
        labels = tumor()
        labels[5, 13 + who, 7] = 0
        make(who, labels, place=tmp_path / "b" / name)
    done = magpie("cohort", "import", cohort, tmp_path / "b", "--schema", "magpie")
    assert done.exit_code == 0 and "5 of 5 cases added, of 3 patients" in words(done), done.output
    assert len({case.patient for case in Cohort(cohort).cases()}) == 3


def test_import_takes_the_patients_from_a_table(magpie, cohort, make, tmp_path):
    for who in range(2):
        labels = tumor()
        labels[5, 13 + who, 7] = 0
        make(who, labels, place=tmp_path / "b" / "ab"[who])
    (tmp_path / "p.csv").write_bytes("a;Müller\r\nb;Müller\r\n".encode("latin-1"))
    done = magpie("cohort", "import", cohort, tmp_path / "b", "--schema", "magpie", "--patients", tmp_path / "p.csv")
    assert done.exit_code == 0 and "of 1 patients" in words(done)


def test_a_cavity_that_the_data_declare_needs_no_yes(magpie, cohort, make):
    study, path = make()
    write_segmentation(Segmentation(tumor((1, 3, 4)), AFFINE, SCHEMAS["brats-2024"]), path)
    assert magpie("cohort", "add", cohort, study, path, "--patient", 1).exit_code == 0
    (case,) = Cohort(cohort).cases()
    assert read_segmentation(case.labels).volume_ml(Region.WT) > 1
