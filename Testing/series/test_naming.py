"""Studies as scanners name them, from the files to the modalities."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from magpie_core.imaging.volume import Volume

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from series_naming import HABITS, is_right, used_as  # noqa: E402

AFFINE = np.array([[12.0, 0, 0, -90], [0, 12.0, 0, -100], [0, 0, 15.0, -70], [0, 0, 0, 1]])


ALL = ("T1", "T1CE", "T2", "FLAIR")


@pytest.mark.parametrize(
    ("habit", "modalities"),
    [*((name, ALL) for name in HABITS), *((name, ("T1CE", "FLAIR")) for name in HABITS if name.startswith("no words"))],
)
def test_each_series_of_a_study_is_used_as_what_it_is(tmp_path, habit, modalities):
    random = np.random.default_rng(0)
    volumes = {name: Volume(random.uniform(0, 1000, (16, 18, 10)).astype(np.float32), AFFINE) for name in modalities}
    found = used_as(volumes, HABITS[habit], tmp_path)
    assert [pair for pair in found if not is_right(*pair)] == []
    assert {used for _, used in found} >= set(modalities)
