"""Teaching as the panel asks for it: stopped, the cohort changed, asked for again."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.errors import Cancelled
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.models.registry import site_versions
from magpie_core.worker.job_context import JobContext
from magpie_core.worker.model_cache import ModelCache
from magpie_core.worker.teach_job import teach


@pytest.fixture
def cohort(tmp_path, make_study):
    """Four phantoms."""
    cohort = Cohort.create(tmp_path / "cohort")
    for number in range(4):
        study = make_study(spacing_mm=1 + number / 500)
        volume = study.volumes[study.reference]
        labels = np.zeros(volume.shape, np.uint8)
        labels[8:14, 16:22, 10:16] = 3
        cohort.add(study, Segmentation(labels, volume.affine, label_schema("magpie")), patient=str(number))
    return cohort


def test_after_a_case_was_removed_a_stopped_teaching_begins_anew(cohort, tiny_model, tmp_path, monkeypatch):
    shutil.copytree(tiny_model, tmp_path / "models" / "magpie-s")
    monkeypatch.setenv("MAGPIE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    job = {
        "kind": "teach",
        "cohort": str(cohort.folder),
        "run": str(tmp_path / "run"),
        "steps": 1,
        "replay": 0,
    }
    stages = []

    def stop(share, stage):
        if "round 2" in stage:
            raise Cancelled

    with pytest.raises(Cancelled):
        teach(job, JobContext(ModelCache(), stop, print))
    cohort.remove(cohort.cases()[0].name, reason="a test")
    context = JobContext(ModelCache(), lambda share, stage: stages.append(stage), print)
    done = teach(job, context)
    assert "The cases have changed: beginning anew" in stages
    (version,) = site_versions().versions()
    assert version.name == done["version"]
    assert set(version.record()["scores"]) == {case.name for case in cohort.cases()}
