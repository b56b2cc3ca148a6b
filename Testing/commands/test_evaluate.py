"""`magpie evaluate`: scores of two folders."""

from __future__ import annotations

import json

import numpy as np
import pytest

from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.segmentation_file import write_segmentation


@pytest.fixture
def folders(tmp_path):
    """Predictions (with sidecar) and references (without): `full` is perfect, `empty` has no enhancing tumor."""
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:10, 2:10, 2:10], labels[4:8, 4:8, 4:8], labels[5:7, 5:7, 5:7] = 2, 3, 1
    without = np.where(labels == 3, 1, labels)
    for name, prediction, reference in (("full", labels, labels), ("empty", labels, without)):
        for kind, folder, mask, schema in (
            ("predictions", "segmentation", prediction, "magpie"),
            ("references", "seg", reference, "brats-2022"),
        ):
            place = tmp_path / kind / name
            place.mkdir(parents=True)
            converted = label_schema("magpie").convert(mask, label_schema(schema))
            write_segmentation(Segmentation(converted, np.eye(4), label_schema(schema)), place / f"{folder}.nii.gz")
        (tmp_path / "references" / name / "seg.json").unlink()
    return tmp_path / "predictions", tmp_path / "references"


def test_evaluate_prints_cases_and_means(magpie, folders):
    done = magpie("evaluate", *folders, "--reference-schema", "brats-2022")
    assert done.exit_code == 0, done.stderr
    rows = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert rows["full"].split()[1:4] == ["1.000"] * 3
    assert rows["empty"].split()[1:4] == ["1.000", "1.000", "0.000"]
    assert "0.500" in rows["mean, all cases"] and "n = 2" in rows["mean, all cases"]
    assert "1.000" in rows["mean, cases with ET"] and "n = 1" in rows["mean, cases with ET"]
    assert "374.0" in rows["empty"]


def test_evaluate_json_has_the_same_scores(magpie, folders):
    done = magpie("evaluate", *folders, "--reference-schema", "brats-2022", "--json")
    table = json.loads(done.stdout)
    assert [row["case"] for row in table["cases"]] == ["empty", "full"]
    assert table["mean"]["ET"]["dice"] == 0.5 and table["mean_with_et"]["ET"]["dice"] == 1.0


def test_evaluate_needs_a_label_schema(magpie, folders):
    done = magpie("evaluate", *folders)
    assert done.exit_code == 3 and "schema" in done.stderr and "seg.nii.gz" in done.stderr


def test_evaluate_rejects_a_wrong_schema(magpie, folders):
    done = magpie("evaluate", *folders, "--reference-schema", "brats-2023", "--json")
    assert done.exit_code == 3 and "brats-2022" in json.loads(done.stdout)["error"]["remedy"]


def test_evaluate_scores_lesions_and_sites_and_draws_the_worst(magpie, folders, tmp_path):
    from magpie_core.imaging.volume import Volume
    from magpie_core.io.nifti import write_volume

    predictions, references = folders
    rng = np.random.default_rng(0)
    for name in ("full", "empty"):
        image = (rng.random((12, 12, 12)) * 100 + 50).astype(np.float32)
        write_volume(Volume(image, np.eye(4)), references / name / "t1ce.nii.gz")
    (tmp_path / "sites.csv").write_text("full,Bern\nempty,Basel\n")
    options = ["--reference-schema", "brats-2022", "--lesions", "--sites", tmp_path / "sites.csv"]
    done = magpie("evaluate", predictions, references, *options, "--pictures", tmp_path / "worst")
    assert done.exit_code == 0, done.stderr
    assert "mean, Bern" in done.stdout and "lesion-wise" in done.stdout
    assert "Lowest Dice: empty" in done.stdout
    assert sorted(path.name for path in (tmp_path / "worst").iterdir()) == [
        "empty_prediction.png",
        "empty_reference.png",
    ]
    table = json.loads(magpie("evaluate", predictions, references, *options, "--json").stdout)
    assert table["sites"]["Bern"]["ET"]["dice"] == 1.0 and table["sites"]["Basel"]["ET"]["dice"] == 0.0
    assert table["intervals"]["WT"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "count": 2}
    assert table["satellites"]["ET"]["false_positives_per_case"] == 0.5


@pytest.mark.parametrize(("sites", "words"), [("full,Bern\n", "empty"), ("", "empty"), ("full\n", "Line 1")])
def test_evaluate_names_a_case_without_a_site(magpie, folders, tmp_path, sites, words):
    (tmp_path / "sites.csv").write_text(sites)
    done = magpie("evaluate", *folders, "--reference-schema", "brats-2022", "--sites", tmp_path / "sites.csv")
    assert done.exit_code == 3 and words in done.stderr
    assert done.stdout == ""
