"""Validate a pretraining: the reconstruction error on fixed views, their montage, and the training curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from magpie_core.networks.config import NetworkConfig
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.pretraining_step import PretrainingStep, ViewBatch, reconstruction_error
from magpie_core.training.augmentation import Augmentation
from magpie_core.training.run_log import NAME
from magpie_core.training.sample import SampleSource
from magpie_core.training.training_curves import draw_training_curves, write_figure

_SEED = 20260
_COLUMNS = ("original", "masked", "reconstruction")
_BRAIN_AT_2_MM = (80, 96, 80)


class PretrainingValidator:
    """Draws `reconstruction_STEP.png` and `training_curves.png` into a run folder.

    Args:
        source, config: As for the training steps; the views are always of the same two brains, whole, without
            augmentation, with all their modalities.
    """

    def __init__(
        self, source: SampleSource, config: PretrainingConfig, network_config: NetworkConfig, folder: Path
    ) -> None:
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

    def measure(self, ema_network: nn.Module, step: int) -> dict[str, float]:
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
        path = self._folder / f"reconstruction_{step:06d}.png"
        draw_reconstructions(views.images, views.visible, drawn, views.modalities, path, f"step {step}")
        draw_training_curves(self._folder / NAME, self._folder / "training_curves.png")
        error = reconstruction_error(output, views.targets, views.visible if self._masked_only else None, views.present)
        return {"validation_reconstruction": float(error.mean())}


def draw_reconstructions(
    images: Tensor, visible: Tensor, reconstructed: Tensor, modalities: Sequence[str], path: Path, title: str
) -> None:
    """Write a PNG of the axial slice with most brain: a row per modality; original, masked, reconstruction per view.

    `images`, zero outside the brain, and `reconstructed` are (B, S, D, H, W), `visible` (B, 1, D, H, W) bool.
    """
    figure = Figure(
        figsize=(1.7 * len(_COLUMNS) * len(images), 2.2 * len(modalities) + 0.5), facecolor="black", dpi=100
    )
    for number, (view, visible_view, output) in enumerate(
        zip(images.numpy(), visible[:, 0].numpy(), reconstructed.numpy(), strict=True)
    ):
        brain = (view != 0).any(axis=0)
        level = int(brain.sum(axis=(0, 1)).argmax())
        for row, name in enumerate(modalities):
            inside = view[row][brain] if brain.any() else np.zeros(1)
            low, high = np.percentile(inside, [1, 99])
            # The background is black, though zero is the mean of a normalized image.
            original = np.where(brain, view[row], low)[:, :, level]
            reconstruction = np.where(brain, output[row], low)[:, :, level]
            slices = (original, np.where(visible_view[:, :, level], original, np.nan), reconstruction)
            for column, image in enumerate(slices):
                position = row * len(_COLUMNS) * len(images) + number * len(_COLUMNS) + column + 1
                axes = figure.add_subplot(len(modalities), len(_COLUMNS) * len(images), position)
                axes.set_facecolor("#334a66")
                axes.imshow(image.T, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower")
                axes.set_xticks([])
                axes.set_yticks([])
                if row == 0:
                    axes.set_title(_COLUMNS[column], color="white", fontsize=8)
                if number == column == 0:
                    axes.set_ylabel(name, color="white", fontsize=9)
    figure.suptitle(title, color="white", fontsize=9)
    figure.tight_layout(pad=0.4)
    write_figure(figure, path)
