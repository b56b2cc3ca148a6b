"""Cohorts and corrected phantoms."""

import numpy as np
import pytest

from magpie_core.cohort.cohort import Cohort
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation


@pytest.fixture
def cohort(tmp_path):
    """An empty cohort."""
    return Cohort.create(tmp_path / "cohort", user="tester")


@pytest.fixture
def make_case(make_study):
    """Make a study and its segmentation; studies differ by `seed`, `shift` moves the lesion (voxels)."""

    def make(seed=0, *, shift=0, schema="magpie", shape=(16, 18, 14)):
        study = make_study(shape=shape, patient=seed)
        volume = study.volumes[study.reference]
        labels = np.zeros(volume.shape, np.uint8)
        labels[6 + shift : 9 + shift, 6:9, 6:9] = 1
        return study, Segmentation(labels, volume.affine, label_schema(schema))

    return make
