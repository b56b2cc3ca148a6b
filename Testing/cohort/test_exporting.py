"""Export to other programs' folders."""

import json

import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.cohort.exporting import export_datalist, export_nnunet
from magpie_core.cohort.importing import import_folder
from magpie_core.errors import InputError
from magpie_core.io.segmentation_file import read_segmentation


def test_export_to_nnunet_and_import_preserve_every_segmentation(cohort, make_case, tmp_path):
    for number in range(3):
        cohort.add(*make_case(number, schema="brats-2022"), patient=str(number))
    export_nnunet(cohort, tmp_path / "Dataset001_Glioma")
    described = json.loads((tmp_path / "Dataset001_Glioma" / "dataset.json").read_text())
    assert described["numTraining"] == 3
    assert described["channel_names"] == {"0": "T1", "1": "T1CE", "2": "T2", "3": "FLAIR"}
    again = Cohort.create(tmp_path / "again")
    results = import_folder(again, tmp_path / "Dataset001_Glioma", schema="magpie")
    assert all(result.case for result in results), results
    for before, after in zip(cohort.cases(), again.cases(), strict=True):
        first, second = read_segmentation(before.labels), read_segmentation(after.labels)
        for tissue in first.schema.labels.values():
            np.testing.assert_array_equal(first.mask(tissue), second.mask(tissue))


def test_datalist_holds_every_case_with_its_fold(cohort, make_case, tmp_path):
    for number in range(4):
        cohort.add(*make_case(number), patient=str(number))
    rows = json.loads(export_datalist(cohort, tmp_path / "list.json", folds=2).read_text())["training"]
    assert sorted(row["fold"] for row in rows) == [0, 0, 1, 1]
    assert all((cohort.folder / path).is_file() for row in rows for path in [*row["image"], row["label"]])


def test_an_empty_cohort_is_refused(cohort, tmp_path):
    with pytest.raises(InputError, match="Cannot export"):
        export_nnunet(cohort, tmp_path / "out")
