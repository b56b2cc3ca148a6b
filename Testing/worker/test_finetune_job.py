"""Fine-tuning as the panel asks for it: stopped, the cohort changed, asked for again."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.errors import Cancelled
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.models.registry import site_versions
from magpie_core.worker.jobs import Jobs


@pytest.fixture
def cohort(tmp_path, make_study):
    """Four phantoms."""
    cohort = Cohort.create(tmp_path / "cohort")
    for number in range(4):
        study = make_study(patient=number)
        volume = study.volumes[study.reference]
        labels = np.zeros(volume.shape, np.uint8)
        labels[8:14, 16:22, 10:16] = 3
        cohort.add(study, Segmentation(labels, volume.affine, label_schema("magpie")), patient=str(number))
    return cohort


def test_a_stopped_finetuning_restarts_after_a_case_was_removed(cohort, tiny_model, tmp_path, monkeypatch):
    shutil.copytree(tiny_model, tmp_path / "models" / "magpie-s")
    monkeypatch.setenv("MAGPIE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    job = {
        "kind": "finetune",
        "cohort": str(cohort.folder),
        "run": str(tmp_path / "run"),
        "steps": 1,
        "synthetic_studies": 0,
        "restart": True,
    }
    stages = []

    def stop(fraction, stage):
        if "2 of" in stage:
            raise Cancelled

    with pytest.raises(Cancelled):
        Jobs().run(job, progress=stop, warn=print)
    cohort.remove(cohort.cases()[0].name, reason="a test")
    done = Jobs().run(job, progress=lambda fraction, stage: stages.append(stage), warn=print)
    assert any("cases have changed" in stage for stage in stages)
    (version,) = site_versions().versions()
    assert version.name == done["version"]
    assert set(version.record()["scores"]) == {case.name for case in cohort.cases()}
