"""Damaged files are read or refused in words; what fails its checksum is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from mutated_files import run  # noqa: E402


@pytest.mark.parametrize(("kind", "first"), [("dicom", 0), ("images", 0)])
def test_damaged_files_are_read_or_refused(kind: str, first: int) -> None:
    outcomes, failures = run(kind, range(first, first + 150), seed=1)
    assert not failures
    assert set(outcomes) <= {"read", "refused"}
    assert sum(outcomes.values()) == 150 and outcomes["refused"] > 50
