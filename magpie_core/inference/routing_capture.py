"""What the routers decided while a study was looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from magpie_core.preprocessing.model_grid import ModelGridStudy


@dataclass
class RoutingCapture:
    """Filled by `segment_study`, whose result it does not change.

    Attributes:
        layers: For each mixture of experts (E, d, h, w) float32: probability of each expert at each token, blended over
            windows and mirrored looks as the logits are.
        strides: Voxels of the working grid per token, along each axis, of each layer.
        names: Where in the network each layer sits, such as "decoder, stage 1".
        working: The study on that grid.
    """

    layers: list[np.ndarray] = field(default_factory=list)
    strides: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    working: ModelGridStudy | None = None
