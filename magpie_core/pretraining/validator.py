"""Looks at a pretraining now and then: the error on a fixed batch, its picture, and the picture of the course."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from magpie_core.networks.config import NetworkConfig
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.pretraining_step import PretrainingStep, ViewBatch, reconstruction_error
from magpie_core.pretraining.reconstruction_montage import draw_reconstructions
from magpie_core.training.augmentation import Augmentation
from magpie_core.training.run_log import NAME
from magpie_core.training.sample_source import SampleSource
from magpie_core.training.training_curves import draw_training_curves

_SEED = 20260
_WHOLE_AT_2_MM = (80, 96, 80)  # a brain


class PretrainingValidator:
    """Draws `reconstruction_STEP.png` and `dynamics.png` into a run folder.

    Parameters
    ----------
    source, recipe
        As for the steps; every look is at the same two brains, whole, as they are, with all their modalities.
    config
        Of the network.
    folder
        Run folder.
    every_steps
        Time between looks.
    """

    def __init__(
        self,
        source: SampleSource,
        recipe: PretrainingConfig,
        config: NetworkConfig,
        folder: Path,
        *,
        every_steps: int,
    ) -> None:
        self.every_steps = every_steps
        plain = Augmentation(gain=0.0, shift=0.0, drop=0.0)
        self._hidden_only = recipe.hidden_only
        whole = [size * 2 // config.backbone_stride for size in _WHOLE_AT_2_MM]
        multiple = math.lcm(recipe.block, config.stride // config.backbone_stride)
        sizes = [math.ceil(max(pair) / multiple) * multiple for pair in zip(recipe.box, whole, strict=True)]
        box = (sizes[0], sizes[1], sizes[2])
        plainly = replace(recipe, box=box, subjects=2, views=1, jitter=0.0, augmentation=plain)
        self._step = PretrainingStep(source, plainly, config.modalities, "cpu")
        self._folder = folder
        self._views: ViewBatch | None = None

    def look(self, averaged: nn.Module, step: int) -> dict[str, float]:
        """Draw, and give the error on those views."""
        views = self._views = self._views or self._step.draw(np.random.default_rng(_SEED))
        device = next(averaged.parameters()).device
        averaged.eval()
        with torch.inference_mode():
            drawn = averaged(
                views.images.to(device), views.visible.to(device), views.modalities, views.present.to(device)
            ).images
        drawn = drawn.float().cpu()
        averaged.train()
        # What was seen is shown as it is where the network need not draw it.
        shown = torch.where(views.visible, views.images, drawn) if self._hidden_only else drawn
        draw_reconstructions(
            views.images,
            views.visible,
            shown,
            views.modalities,
            self._folder / f"reconstruction_{step:06d}.png",
            title=f"step {step}",
        )
        draw_training_curves(self._folder / NAME, self._folder / "dynamics.png")
        error = reconstruction_error(
            drawn, views.targets, views.visible if self._hidden_only else None, views.present
        )
        return {"validation_reconstruction": float(error.mean())}
