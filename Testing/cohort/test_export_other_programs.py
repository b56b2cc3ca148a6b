"""Exports are accepted by nnU-Net's own verification and by the validator of BIDS, which both refuse broken ones."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.cohort.exporting import export_cohort
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.preprocessing.prepared_study import PreparedStudy, preparation_digest

sys.path.insert(0, str(Path(__file__).parent))
import nnunet_environment


@pytest.fixture
def exported(tmp_path, make_volume):
    """Export, in a layout, cases with other modalities, grids, orders of voxels and label schemas."""
    cohort = Cohort.create(tmp_path / "cohort")
    flat = np.diag([-1.0, -1.0, 2.0, 1.0])
    flat[:3, 3] = (-20, 30, -1)
    tilted = np.eye(4)  # 12 degrees about an axis through the middle, and other voxels
    angle, middle = np.deg2rad(12), np.array([-29.5, 19.5, 10.5])
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilted[:3, :3] = turn @ np.diag([0.9, -1.0, 1.2])
    tilted[:3, 3] = middle - tilted[:3, :3] @ [9.5, 10.5, 5.5]
    cases = (
        ("magpie", {"T1": None, "T1CE": None, "T2": None, "FLAIR": flat}, "FLAIR"),
        ("brats-2022", {"T1CE": None, "T2": None, "FLAIR": None}, "T1CE"),
        ("msd", dict.fromkeys(("T1", "T1CE", "T2", "FLAIR", "ADC", "PD"), tilted), "T1"),
        ("brats-2024", {"T1": flat, "T1CE": None, "T2": tilted, "FLAIR": None}, "T2"),
    )
    for number, (name, affines, drawn_on) in enumerate(cases):
        volumes = {
            Modality(key): make_volume((20, 22, 12), affine=affine, seed=10 * number + place)
            for place, (key, affine) in enumerate(affines.items())
        }
        study = Study(volumes, name)
        schema, grid = label_schema(name), volumes[Modality(drawn_on)]
        labels = np.zeros(grid.shape, np.uint8)
        for place, value in enumerate(schema.labels):
            labels[4 + 3 * place : 7 + 3 * place, 8:14, 4:8] = value
        prepared = PreparedStudy(study, digest=preparation_digest(study, "magpie"))
        drawn = Segmentation(labels, grid.affine, schema)
        cohort.add(study, drawn, patient=str(number // 2), preparation=prepared)
    return lambda layout: export_cohort(cohort, tmp_path / "Dataset001_Glioma", layout).path


@pytest.fixture
def verify():
    """Run nnU-Net's verification."""
    if not nnunet_environment.FOLDER.is_dir():
        pytest.skip("needs nnU-Net: run Testing/cohort/nnunet_environment.py (make test does)")
    return nnunet_environment.verify


def test_nnunet_verifies_an_export(exported, verify):
    done = verify(exported("nnunet"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not {"Error", "Warning"} & set(done.stdout.replace(":", " ").split()), done.stdout


@pytest.mark.parametrize("fault", ["grid", "schema", "channel"])
def test_nnunet_refuses_a_broken_export(exported, verify, fault):
    folder = exported("nnunet")
    image, label = (min((folder / part).iterdir()) for part in ("imagesTr", "labelsTr"))
    if fault == "grid":
        stored = nibabel.load(image)
        nibabel.save(nibabel.Nifti1Image(stored.get_fdata()[:, :, :-1], stored.affine), image)
    elif fault == "schema":
        stored = nibabel.load(label)
        nibabel.save(nibabel.Nifti1Image(np.asarray(stored.dataobj) * np.uint8(7), stored.affine), label)
    else:
        image.unlink()
    assert verify(folder).returncode != 0


def _validate(folder):
    """Return the codes of the errors that the validator of BIDS finds."""
    if importlib.util.find_spec("bids_validator_deno") is None:
        pytest.skip("needs bids-validator-deno: pip install bids-validator-deno (make test does)")
    command = [sys.executable, "-c", "from bids_validator_deno import cli; cli()", folder, "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = {f"{issue['code']} {issue.get('subCode', '')}".strip() for issue in issues if issue["severity"] == "error"}
    assert (done.returncode != 0) == bool(errors), done.stderr
    return errors


def test_the_validator_of_bids_accepts_an_export(exported):
    assert _validate(exported("bids")) == set()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("description", "MISSING_DATASET_DESCRIPTION"),
        ("sidecar", "SIDECAR_KEY_REQUIRED SkullStripped"),
        ("name", "NOT_INCLUDED"),
        ("table", "TSV_COLUMN_MISSING"),
        ("image", "NIFTI_HEADER_UNREADABLE"),
    ],
)
def test_the_validator_of_bids_refuses_a_broken_export(exported, fault, code):
    folder = exported("bids")
    image = min(folder.rglob("*_FLAIR.nii.gz"))
    table = min(folder.rglob("*_dseg.tsv"))
    if fault == "description":
        (folder / "dataset_description.json").unlink()
    elif fault == "sidecar":
        image.with_name(image.name.replace(".nii.gz", ".json")).unlink()
    elif fault == "name":
        image.rename(image.with_name("t1 of the patient.nii.gz"))
    elif fault == "table":
        table.write_text(table.read_text().replace("index", "number"))
    else:
        image.write_bytes(b"nonsense")
    assert code in {found if " " in code else found.split()[0] for found in _validate(folder)}
