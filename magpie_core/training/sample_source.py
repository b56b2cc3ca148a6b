"""A source of samples."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from magpie_core.training.sample import Sample


class SampleSource(Protocol):
    """Whatever gives samples: a ring, a shelf, a corpus."""

    def draw(self, random: np.random.Generator) -> Sample:
        """One of them."""
