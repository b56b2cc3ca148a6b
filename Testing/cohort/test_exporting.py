"""Export to other programs' folders: one schema, one grid a case, one order of channels, nothing silent."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.cohort.exporting import LAYOUTS, export_cohort
from magpie_core.cohort.importing import import_folder
from magpie_core.cohort.label_options import LabelOptions
from magpie_core.errors import InputError
from magpie_core.imaging.glioma import Tissue
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import encode, read_volume
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.preprocessing.prepared_study import PreparedStudy, preparation_digest
from magpie_core.preprocessing.registration import Registration

TARGETS = {"nnunet": "Dataset001_Glioma", "datalist": "list.json", "bids": "bids"}


@pytest.fixture
def export(cohort, tmp_path):
    """Export the cohort in a layout, and return the export."""
    return lambda layout="nnunet", **options: export_cohort(cohort, tmp_path / TARGETS[layout], layout, **options)


@pytest.fixture
def mixed(cohort, make_case):
    """Three cases: the second without T1 and in another schema, the third with T2 stored in another order."""
    cohort.add(*make_case(0), patient="0")
    study, labels = make_case(1, schema="msd")
    without = {key: volume for key, volume in study.volumes.items() if key is not Modality.T1}
    cohort.add(Study(without, "one"), labels, patient="1")
    study, labels = make_case(2, schema="brats-2022")
    t2 = study.volumes[Modality.T2]
    order = np.eye(4)[[2, 1, 0, 3]]
    turned = Volume(np.ascontiguousarray(t2.data.transpose(2, 1, 0)), t2.affine @ order)
    prepared = replace(study, volumes={**study.volumes, Modality.T2: turned})
    cohort.add(prepared, labels, patient="2", preparation=_without_registration(prepared))
    return cohort


def _without_registration(study):
    return PreparedStudy(study, digest=preparation_digest(study, "magpie"))


def _arrays(folder):
    return {path.name: read_volume(path) for path in sorted(folder.glob("*.nii.gz"))}


def test_nnunet_export_has_one_schema_one_grid_and_one_order_of_channels(mixed, export, tmp_path):
    done = export()
    described = json.loads((done.path / "dataset.json").read_text())
    assert described["channel_names"] == {"0": "T1CE", "1": "T2", "2": "FLAIR"}
    assert described["labels"] == {"background": 0, "NCR": 1, "ED": 2, "ET": 3} and described["numTraining"] == 3
    images, labels = _arrays(done.path / "imagesTr"), _arrays(done.path / "labelsTr")
    assert len(images) == 9 and len(labels) == 3
    for case in mixed.cases():
        label = labels[f"{case.name}.nii.gz"]
        stored = read_segmentation(case.labels)
        assert stored.labels.any()
        for tissue, value in ((Tissue.NCR, 1), (Tissue.ED, 2), (Tissue.ET, 3)):
            np.testing.assert_array_equal(label.data == value, stored.mask(tissue))
        for number, modality in enumerate((Modality.T1CE, Modality.T2, Modality.FLAIR)):
            image = images[f"{case.name}_{number:04d}.nii.gz"]
            assert image.geometry.matches(label.geometry)
            source = read_volume(case.images[modality])
            if source.shape == image.shape:
                np.testing.assert_array_equal(image.data, source.data)
            else:  # the same voxels in another order
                np.testing.assert_array_equal(image.data, source.data.transpose(2, 1, 0))
    assert any("T1, missing in sub-" in note for note in done.notes)
    assert any("T2 resampled to the grid of its T1ce" in note for note in done.notes)


def test_images_on_their_own_grids_are_brought_to_the_grid_of_the_labels(cohort, make_case, make_volume, export):
    study, _ = make_case()
    thick = np.diag([-1.0, -1.0, 2.0, 1.0])
    thick[:3, 3] = (-20, 30, 5)
    flair = make_volume((16, 18, 7), affine=thick, seed=3)
    volumes = {**study.volumes, Modality.FLAIR: flair}
    study = Study(volumes, "thick")
    labels = np.zeros(flair.shape, np.uint8)
    labels[4:8, 5:9, 2:4] = 2
    drawn = Segmentation(labels, thick, label_schema("magpie"))
    case = cohort.add(study, drawn, patient="1", preparation=_without_registration(study))
    done = export()
    (label,) = _arrays(done.path / "labelsTr").values()
    np.testing.assert_array_equal(label.data, labels)
    images = list(_arrays(done.path / "imagesTr").values())
    assert all(image.geometry.matches(label.geometry) for image in images)
    np.testing.assert_array_equal(images[3].data, flair.data)
    assert f"{case.name}: T1, T1ce, T2 resampled to the grid of its FLAIR, on which the labels lie." in done.notes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_and_images_follow_the_registration(cohort, make_case, export, layout):
    """The FLAIR was acquired 4 mm away, and the labels were drawn on it: both leave at the place of the T1ce."""
    study, labels = make_case()
    moved = np.eye(4)
    moved[0, 3] = 4
    flair = study.volumes[Modality.FLAIR]
    volumes = {**study.volumes, Modality.FLAIR: replace(flair, affine=moved @ flair.affine)}
    asked = Study(volumes, "moved")
    drawn = replace(labels, affine=moved @ labels.affine)
    found = Registration(np.linalg.inv(moved), 1.0, 1.0, 1.0, 0.0, (0.0, 0.0, 0.0))
    aligned = {**volumes, Modality.FLAIR: flair}
    prepared = PreparedStudy(
        Study(aligned, "moved"), None, {Modality.FLAIR: found}, digest=preparation_digest(asked, "magpie")
    )
    cohort.add(asked, drawn, patient="1", preparation=prepared)
    cohort.add(*make_case(1), patient="2")
    done = export(layout)
    folder = done.path.with_suffix("")
    files = [path for path in sorted(folder.rglob("*.nii.gz")) if cohort.cases()[0].name in path.name]
    assert len(files) == 5
    for path in files:
        assert read_volume(path).geometry.matches(labels.geometry, 0.01), path
        if "dseg" in path.name or path.parent.name == "labelsTr":
            np.testing.assert_array_equal(read_volume(path).data, labels.labels)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_resection_cavity_is_kept_in_every_case(cohort, make_case, export, layout):
    cohort.add(*make_case(0, schema="msd"), patient="0")
    study, labels = make_case(1, schema="brats-2024")
    labels.labels[1:3, 1:3, 1:3] = 4
    cohort.add(study, labels, patient="1")
    export(layout)
    found = {}
    for path in export_labels(cohort, layout):
        found[path.name.split("_dseg")[0].removesuffix(".nii.gz")] = set(np.unique(read_volume(path).data))
    first, second = (case.name for case in cohort.cases())
    assert found == {first: {0, 2}, second: {0, 1, 4}}  # edema is 1 in msd


def export_labels(cohort, layout):
    """Files of labels of an export."""
    folder = (cohort.folder.parent / TARGETS[layout]).with_suffix("")
    return [path for path in folder.rglob("*.nii.gz") if "dseg" in path.name or path.parent.name == "labelsTr"]


def test_modalities_that_are_wanted_leave_out_the_cases_that_lack_them(mixed, export):
    done = export(modalities=tuple(reversed([*Modality][:4])))
    described = json.loads((done.path / "dataset.json").read_text())
    assert described["channel_names"] == {"0": "T1", "1": "T1CE", "2": "T2", "3": "FLAIR"}
    assert described["numTraining"] == 2
    assert f"{mixed.cases()[1].name} is left out: it lacks T1." in done.notes


def test_a_cohort_without_a_common_modality_is_refused_with_the_cases(cohort, make_case, export):
    for number, modality in enumerate((Modality.T1, Modality.FLAIR)):
        study, labels = make_case(number)
        cohort.add(Study({modality: study.volumes[modality]}, "one"), labels, patient=str(number))
    with pytest.raises(InputError) as refused:
        export()
    for case in cohort.cases():
        assert case.name in str(refused.value)
    assert export("bids").path.is_dir()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["file", "folder", "empty folder", "link"])
def test_nothing_is_overwritten(cohort, make_case, export, tmp_path, layout, kind):
    for number in range(2):
        cohort.add(*make_case(number), patient=str(number))
    target = tmp_path / TARGETS[layout]
    if kind == "file":
        target.write_text("notes of mine")
    elif kind == "link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.mkdir()
        if kind == "folder":
            (target / "mine").write_text("notes")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="exists already"):
        export(layout)
    assert sorted(tmp_path.rglob("*")) == before
    assert kind != "file" or target.read_text() == "notes of mine"


def test_a_datalist_overwrites_no_folder_of_its_images(cohort, make_case, export, tmp_path):
    for number in range(2):
        cohort.add(*make_case(number), patient=str(number))
    (tmp_path / "list").mkdir()
    with pytest.raises(InputError, match="list exists already"):
        export("datalist")
    assert not (tmp_path / "list.json").exists()
    with pytest.raises(InputError, match=r"Name the file, such as list\.txt\.json"):
        export_cohort(cohort, tmp_path / "list.txt", "datalist")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_export_into_the_cohort_itself_is_refused(cohort, make_case, layout):
    for number in range(2):
        cohort.add(*make_case(number), patient=str(number))
    with pytest.raises(InputError, match="lies in the cohort itself"):
        export_cohort(cohort, cohort.folder / "sub-1" / TARGETS[layout], layout)
    assert cohort.check() == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("damage", ["labels", "image", "sidecar", "missing", "log"])
def test_files_changed_since_they_were_added_are_refused(cohort, make_case, export, tmp_path, layout, damage):
    for number in range(2):
        cohort.add(*make_case(number), patient=str(number))
    case = cohort.cases()[1]
    if damage == "labels":
        stored = read_segmentation(case.labels)
        case.labels.write_bytes(encode(np.zeros_like(stored.labels), stored.affine, case.labels))
    elif damage == "image":
        case.images[Modality.T2].write_bytes(case.images[Modality.T1].read_bytes())
    elif damage == "sidecar":
        sidecar = case.labels.with_name(f"{case.name}_dseg.json")
        sidecar.write_text(sidecar.read_text().replace("NCR", "XX").replace("ED", "NCR").replace("XX", "ED"))
    elif damage == "missing":
        case.images[Modality.FLAIR].unlink()
    else:
        cohort.log.path.write_text(cohort.log.path.read_text().replace("tester", "somebody"))
    with pytest.raises(InputError) as refused:
        export(layout)
    assert damage == "log" or case.name in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


def test_an_addition_that_was_interrupted_does_not_stop_an_export(cohort, make_case, export):
    cohort.add(*make_case(), patient="1")
    (cohort.folder / ".adding-1").mkdir()
    assert export().path.is_dir()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_export_that_fails_leaves_nothing(cohort, make_case, export, tmp_path, layout, monkeypatch):
    for number in range(2):
        cohort.add(*make_case(number), patient=str(number))

    def stop(fraction, case):
        if fraction:
            raise OSError(28, "No space left on device")

    with pytest.raises(Exception, match="No space left"):
        export(layout, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_killed_export_leaves_no_half_dataset(cohort, make_case, tmp_path, layout):
    for number in range(8):
        cohort.add(*make_case(number), patient=str(number))
    target = tmp_path / TARGETS[layout]
    program = (
        "import sys; from pathlib import Path; from magpie_core.cohort.cohort import Cohort; "
        "from magpie_core.cohort.exporting import export_cohort; "
        "export_cohort(Cohort(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3], "
        "progress=lambda fraction, case: print(case, flush=True))"
    )
    command = [sys.executable, "-c", program, str(cohort.folder), str(target), layout]
    for cases in (1, 4, 8):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as export:
            for _ in range(cases):
                export.stdout.readline()
            time.sleep(0.01)
            os.kill(export.pid, signal.SIGKILL)
        if target.exists():  # then it is whole
            break
        assert not target.with_suffix("").exists()
    else:
        assert subprocess.run(command, capture_output=True).returncode == 0
    assert len(export_labels(cohort, layout)) == 8


@pytest.mark.parametrize("layout", ["nnunet", "bids"])
def test_export_and_import_preserve_every_segmentation(mixed, export, tmp_path, layout):
    done = export(layout)
    again = Cohort.create(tmp_path / "again")
    results = import_folder(again, done.path, options=LabelOptions(allow_outside=True))
    assert all(result.case for result in results), results
    by_volume = [sorted(_volumes(case) for case in one.cases()) for one in (mixed, again)]
    np.testing.assert_allclose(by_volume[0], by_volume[1])


def _volumes(case):
    stored = read_segmentation(case.labels)
    return [stored.volume_ml(tissue) for tissue in (Tissue.NCR, Tissue.ED, Tissue.ET)]


def test_datalist_holds_every_case_with_its_fold_and_monai_reads_it(mixed, export):
    from monai.data.decathlon_datalist import load_decathlon_datalist
    from monai.transforms import LoadImaged

    done = export("datalist", folds=3)
    rows = load_decathlon_datalist(done.path, is_segmentation=True)
    assert sorted(row["fold"] for row in rows) == [0, 1, 2]
    for row in map(LoadImaged(["image", "label"], image_only=True), rows):
        assert row["image"].shape == (3, *row["label"].shape)
        assert set(np.unique(row["label"])) <= {0, 1, 2, 3}


def test_folds_keep_the_visits_of_a_patient_together(cohort, make_case, export):
    for number in range(6):
        cohort.add(*make_case(number), patient=str(number // 2))
    done = export()
    splits = json.loads((done.path / "splits_final.json").read_text())
    assert len(splits) == 3 and any("splits_final.json" in note for note in done.notes)
    for split in splits:
        patients = [{name.split("_")[0] for name in split[part]} for part in ("train", "val")]
        assert not patients[0] & patients[1] and len(split["train"]) + len(split["val"]) == 6
    rows = json.loads(export("datalist").path.read_text())["training"]
    assert len({(row["label"].split("/")[-1].split("_")[0], row["fold"]) for row in rows}) == 3


def test_the_salt_stays_at_the_site(cohort, make_case, export):
    for number in range(2):
        cohort.add(*make_case(number), patient=str(number))
    salt = json.loads((cohort.folder / "dataset_description.json").read_text())["MagpieCohort"]["salt"]
    for layout in LAYOUTS:
        for path in export(layout).path.with_suffix("").rglob("*"):
            assert path.is_dir() or salt.encode() not in path.read_bytes()


def test_an_empty_cohort_and_an_unknown_layout_are_refused(cohort, export, tmp_path):
    with pytest.raises(InputError, match="has no cases"):
        export()
    with pytest.raises(InputError, match=r"no layout 'zip'(.|\n)*--as"):
        export_cohort(cohort, tmp_path / "out", "zip")
