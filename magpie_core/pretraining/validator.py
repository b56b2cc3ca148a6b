"""Validate a pretraining: the reconstruction error on fixed views, their montage, and the training curves."""

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
from magpie_core.training.sample import SampleSource
from magpie_core.training.training_curves import draw_training_curves

_SEED = 20260
_BRAIN_AT_2_MM = (80, 96, 80)


class PretrainingValidator:
    """A callback that draws `reconstruction_STEP.png` and `training_curves.png` into a run folder.

    Args:
        source, config: As for the training steps; the views are always of the same two brains, whole, without
            augmentation, with all their modalities.
    """

    def __init__(
        self,
        source: SampleSource,
        config: PretrainingConfig,
        network_config: NetworkConfig,
        folder: Path,
        *,
        every_steps: int,
    ) -> None:
        self.every_steps = every_steps
        self._masked_only = config.masked_only
        brain = [size * 2 // network_config.backbone_stride for size in _BRAIN_AT_2_MM]
        multiple = math.lcm(config.block_size, network_config.stride // network_config.backbone_stride)
        pairs = zip(config.view_size, brain, strict=True)
        sizes = [math.ceil(max(pair) / multiple) * multiple for pair in pairs]
        whole_brains = replace(
            config,
            view_size=(sizes[0], sizes[1], sizes[2]),
            batch_size=2,
            views=1,
            jitter=0.0,
            augmentation=Augmentation(gain=0.0, shift=0.0, drop=0.0),
        )
        self._step = PretrainingStep(source, whole_brains, network_config.modalities, "cpu")
        self._folder = folder
        self._views: ViewBatch | None = None

    def on_step(self, ema_network: nn.Module, step: int) -> dict[str, float]:
        """Draw the pictures, and return the reconstruction error."""
        views = self._views = self._views or self._step.draw(np.random.default_rng(_SEED))
        device = next(ema_network.parameters()).device
        ema_network.eval()
        with torch.inference_mode():
            output = ema_network(
                views.images.to(device), views.visible.to(device), views.modalities, views.present.to(device)
            ).images
        output = output.float().cpu()
        ema_network.train()
        # Visible voxels are drawn as they are where the network need not reconstruct them.
        drawn = torch.where(views.visible, views.images, output) if self._masked_only else output
        draw_reconstructions(
            views.images,
            views.visible,
            drawn,
            views.modalities,
            self._folder / f"reconstruction_{step:06d}.png",
            title=f"step {step}",
        )
        draw_training_curves(self._folder / NAME, self._folder / "training_curves.png")
        error = reconstruction_error(output, views.targets, views.visible if self._masked_only else None, views.present)
        return {"validation_reconstruction": float(error.mean())}
