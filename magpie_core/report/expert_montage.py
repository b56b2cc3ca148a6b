"""One picture of what all experts saw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from magpie_core import RESEARCH_USE, __version__
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.report.orthogonal_slices import OrthogonalSlices, content_box, largest_slices
from magpie_core.report.picture_file import write_picture

_COLUMNS = 4


def draw_expert_montage(
    study: Study,
    segmentation: Segmentation,
    maps: np.ndarray,
    path: Path,
    *,
    names: Mapping[int, str] | None = None,
) -> None:
    """Write a PNG: the axial plane with most tumor, once for each expert, with its map over it.

    Parameters
    ----------
    study
        Its reference is the background, and has the grid of the rest.
    segmentation
        Outlined in white.
    maps
        (E, I, J, K) uint8, 255 for 1.
    path
        File to write.
    names
        Regions that experts (from 0) are named after.
    """
    reference = study.volumes[study.reference]
    planes = OrthogonalSlices.of(reference)
    labels = planes.turn(segmentation.labels)
    image = planes.turn(np.asarray(reference.data))
    tumor = labels > 0
    box = content_box(image, tumor, planes.spacing_mm)
    middle = [(low + high) // 2 for low, high in zip(box.first, box.last, strict=True)]
    index = largest_slices(tumor, planes.spacing_mm)["axial"] if tumor.any() else middle[2]
    window = (slice(box.first[0], box.last[0] + 1), slice(box.first[1], box.last[1] + 1), index)
    gray = image[window].T
    low, high = np.percentile(image[image != image.flat[0]], [1, 99.5]) if image.any() else (0, 1)
    rows = -(-len(maps) // _COLUMNS)
    figure = Figure(figsize=(3.2 * _COLUMNS, 3.6 * rows + 0.6), facecolor="black", dpi=100)
    aspect = planes.spacing_mm[1] / planes.spacing_mm[0]
    for number, one in enumerate(maps):
        axes = figure.add_subplot(rows, _COLUMNS, number + 1)
        axes.imshow(gray, cmap="gray", vmin=low, vmax=high, origin="lower", aspect=aspect)
        heat = planes.turn(one)[window].T / 255
        axes.imshow(
            np.ma.masked_less(heat, 0.05),
            cmap="inferno",
            vmin=0,
            vmax=0.6,
            alpha=0.6,
            origin="lower",
            aspect=aspect,
        )
        if tumor[window].any():
            axes.contour(tumor[window].T, [0.5], colors="white", linewidths=0.8)
        axes.invert_xaxis()  # the patient's right is on the left
        name = (names or {}).get(number)
        axes.set_title(f"Expert {number + 1}" + (f": {name}" if name else ""), color="white", fontsize=11)
        axes.set_axis_off()
    words = f"How often each expert was asked (dark 0, bright 0.6). MAGPIE {__version__}. {RESEARCH_USE}"
    figure.text(0.01, 0.01, words, color="#9a9a9a", fontsize=8)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    write_picture(figure, path)
