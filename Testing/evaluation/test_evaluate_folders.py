"""evaluate_folders: a row per case, means with and without cases that have no enhancing tumor."""

import json

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.evaluation.evaluate_folders import evaluate_folders
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.segmentation_file import write_segmentation


@pytest.fixture
def folders(tmp_path):
    """Case a is perfect; case b has no enhancing tumor, and one is predicted."""
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[2:8, 2:8, 2:8] = 2
    labels[4:6, 4:6, 4:6] = 3
    without = np.where(labels == 3, 1, labels).astype(np.uint8)
    for case, reference in (("a", labels), ("b", without)):
        (tmp_path / "found" / case).mkdir(parents=True)
        (tmp_path / "reference" / case).mkdir(parents=True)
        prediction = Segmentation(labels, np.eye(4), label_schema("magpie"))
        write_segmentation(prediction, tmp_path / "found" / case / "segmentation.nii.gz")
        expected = Segmentation(np.where(reference == 3, 4, reference), np.eye(4), label_schema("brats-2022"))
        write_segmentation(expected, tmp_path / "reference" / case / "seg.nii.gz")
    return tmp_path / "found", tmp_path / "reference"


def test_evaluate_folders_returns_rows_and_means(folders):
    table = evaluate_folders(*folders, reference_schema="brats-2022")
    first, second = table["cases"]
    assert (first["case"], first["reference_has_et"], first["ET"]["dice"]) == ("a", True, 1)
    assert (second["case"], second["reference_has_et"], second["ET"]["dice"]) == ("b", False, 0)
    assert table["mean"]["ET"]["dice"] == pytest.approx(0.5)
    assert table["mean_with_et"]["ET"]["dice"] == 1
    assert table["mean"]["WT"]["dice"] == 1


def test_evaluate_folders_names_a_case_without_a_prediction(folders):
    (folders[0] / "b" / "segmentation.nii.gz").unlink()
    with pytest.raises(InputError, match=r"no prediction.*\bB\b|no prediction.*\bb\b"):
        evaluate_folders(*folders, reference_schema="brats-2022")


def test_evaluate_folders_needs_a_label_schema(folders):
    for sidecar in folders[1].rglob("*.json"):
        sidecar.unlink()
    with pytest.raises(InputError, match="schema"):
        evaluate_folders(*folders)


def test_evaluate_folders_rejects_labels_outside_the_schema(folders):
    for sidecar in folders[1].rglob("*.json"):
        sidecar.unlink()
    with pytest.raises(InputError, match="4"):
        evaluate_folders(*folders, reference_schema="brats-2023")


def test_evaluate_folders_rejects_an_empty_or_missing_folder(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        evaluate_folders(folders[0], tmp_path / "empty", reference_schema="msd")
    with pytest.raises(InputError, match="nowhere"):
        evaluate_folders(tmp_path / "nowhere", folders[1], reference_schema="msd")


def test_evaluate_folders_reads_flat_folders_and_brats_names(folders):
    found, references = folders
    for case in ("a", "b"):
        for ending in (".nii.gz", ".json"):
            (found / case / f"segmentation{ending}").rename(found / f"{case}{ending}")
            (references / case / f"seg{ending}").rename(references / case / f"{case}_seg{ending}")
    table = evaluate_folders(found, references)
    assert [row["ET"]["dice"] for row in table["cases"]] == [1, 0]


def test_evaluate_folders_names_two_masks_of_one_case(folders):
    found, references = folders
    (found / "a.nii.gz").write_bytes((found / "a" / "segmentation.nii.gz").read_bytes())
    with pytest.raises(InputError, match="more than one mask") as caught:
        evaluate_folders(found, references)
    assert caught.value.cause == "a/segmentation.nii.gz and a.nii.gz"


def test_evaluate_folders_returns_plain_values_and_unused_predictions(folders):
    found, references = folders
    for file in (references / "b").iterdir():
        file.unlink()
    seen = []
    table = evaluate_folders(found, references, progress=lambda fraction, case: seen.append((fraction, case)))
    assert json.loads(json.dumps(table)) == table
    assert table["unused_predictions"] == ["b"]
    assert table["mean_without_et"] is None
    assert seen == [(0, "a")]
