"""A picture of what masking left and what the network made of it."""

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
    images: Tensor, visible: Tensor, drawn: Tensor, modalities: Sequence[str], path: Path, *, title: str = ""
) -> None:
    """Write a PNG: a row for each modality, and for each view the axial plane with most brain, three times.

    Parameters
    ----------
    images, drawn
        (B, S, D, H, W): originals, zero in the air, and reconstructions.
    visible
        (B, 1, D, H, W) bool.
    modalities
        Names of the S images.
    path
        File to write; complete or not at all.

    Raises
    ------
    ResourceError
        If it cannot be written.
    """
    figure = Figure(
        figsize=(1.7 * len(_COLUMNS) * len(images), 2.2 * len(modalities) + 0.5), facecolor="black", dpi=100
    )
    for number, (view, seen, made) in enumerate(
        zip(images.numpy(), visible[:, 0].numpy(), drawn.numpy(), strict=True)
    ):
        brain = (view != 0).any(axis=0)
        level = int(brain.sum(axis=(0, 1)).argmax())
        for row, name in enumerate(modalities):
            inside = view[row][brain] if brain.any() else np.zeros(1)
            low, high = np.percentile(inside, [1, 99])
            # Air is black as in a scanner's picture, though it is the mean of a scaled image.
            whole = np.where(brain, view[row], low)[:, :, level]
            filled = np.where(brain, made[row], low)[:, :, level]
            planes = (whole, np.where(seen[:, :, level], whole, np.nan), filled)
            for column, plane in enumerate(planes):
                place = row * len(_COLUMNS) * len(images) + number * len(_COLUMNS) + column + 1
                axes = figure.add_subplot(len(modalities), len(_COLUMNS) * len(images), place)
                axes.set_facecolor("#334a66")
                axes.imshow(plane.T, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower")
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
