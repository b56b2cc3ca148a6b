"""What a request for a fine-tuning means for the training."""

from __future__ import annotations

from pathlib import Path

import pytest

from magpie_core.app.finetune import FinetuneRequest, _options


@pytest.mark.parametrize(
    ("wanted", "studies"),
    [
        ({"minutes": 1.0}, 5),
        ({"minutes": 10.0}, 50),
        ({"minutes": 90.0}, 150),
        ({"minutes": 90.0, "synthetic_studies": 20}, 20),
        ({"minutes": 90.0, "synthetic_studies": 0}, 0),
        ({"minutes": 1.0, "steps": 3}, 150),
    ],
)
def test_making_synthetic_studies_does_not_outlast_a_short_training(wanted, studies):
    request = FinetuneRequest(cohort=Path("cohort"), run=Path("run"), **wanted)
    assert _options(request).synthetic_studies == studies
