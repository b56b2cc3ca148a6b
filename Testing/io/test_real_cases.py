"""Real cases are read with the labels of their list."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from magpie_core.imaging.modality import Modality
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation


def test_every_labeled_case_reads_with_the_listed_labels(cases_folder: Path) -> None:
    listed = json.loads((cases_folder / "cases.json").read_text())
    for case in listed:
        folder = cases_folder / case["split"] / case["id"]
        study = read_study(folder)
        assert study.name == case["id"]
        assert study.modalities == (Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR)
        assert study.warnings == (), case["id"]
        reference = read_segmentation(folder / "seg.nii.gz", "brats-2022")
        assert reference.geometry.matches(study.volumes[study.reference].geometry)
        voxels = {str(value): int(np.count_nonzero(reference.labels == value)) for value in reference.schema.labels}
        assert {value: count for value, count in voxels.items() if count} == case["voxels"]


def test_raw_visits_are_distinguished_and_skulls_recognized(cases_folder: Path) -> None:
    import pytest

    from magpie_core.errors import InputError
    from magpie_core.imaging.study_checks import with_skull

    folder = cases_folder / "raw" / "open_ms_patient01"
    with pytest.raises(InputError, match="study1, study2"):
        read_study(folder)
    study = read_study({name: folder / f"study1_{name.value}W.nii.gz" for name in (Modality.T1, Modality.T2)})
    assert with_skull(study) == (Modality.T1, Modality.T2)
