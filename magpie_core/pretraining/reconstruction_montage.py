"""A montage of original, masked and reconstructed views."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from magpie_core.storage.atomic import write_bytes

_COLUMNS = ("original", "masked", "reconstruction")


def draw_reconstructions(
    images: Tensor, visible: Tensor, reconstructed: Tensor, modalities: Sequence[str], path: Path, *, title: str = ""
) -> None:
    """Write a PNG of the axial slice with most brain: a row per modality; original, masked, reconstruction per view.

    Args:
        images, reconstructed: (B, S, D, H, W): originals, zero outside the brain, and reconstructions.
        visible: (B, 1, D, H, W) bool.

    Raises:
        ResourceError: If it cannot be written.
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
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream)
    write_bytes(path, stream.getvalue())
