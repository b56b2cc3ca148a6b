"""Montage of the routing maps of all experts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.report.figure import add_footer, gray_range, write_figure
from magpie_core.report.orthogonal_slices import OrthogonalSlices, content_box, largest_slices

_COLUMNS = 4


def draw_expert_montage(
    study: Study, segmentation: Segmentation, maps: np.ndarray, path: Path, *, names: Mapping[int, str] | None = None
) -> None:
    """Draw a PNG: the axial slice with most tumor, once for each expert, with its routing map over it.

    Args:
        study: Its reference is shown, on whose grid the rest lies.
        segmentation: Outlined in white.
        maps: (E, I, J, K) uint8, 255 for 1.
        path: File to write.
        names: Names of experts, by their number from 0.
    """
    reference = study.volumes[study.reference]
    slices = OrthogonalSlices.of(reference)
    labels = slices.reorient(segmentation.labels)
    image = slices.reorient(np.asarray(reference.data))
    tumor = labels > 0
    box = content_box(image, tumor, slices.spacing_mm)
    index = (largest_slices(tumor, slices.spacing_mm) if tumor.any() else box.middle)["axial"]
    right, anterior, _ = box.ranges
    low, high = gray_range(image)
    rows = -(-len(maps) // _COLUMNS)
    figure = Figure(figsize=(3.2 * _COLUMNS, 3.6 * rows + 0.6), facecolor="black", dpi=100)
    aspect = slices.spacing_mm[1] / slices.spacing_mm[0]
    for number, one in enumerate(maps):
        axes = figure.add_subplot(rows, _COLUMNS, number + 1)
        axes.imshow(image[right, anterior, index].T, cmap="gray", vmin=low, vmax=high, origin="lower", aspect=aspect)
        heat = slices.reorient(one)[right, anterior, index].T / 255
        axes.imshow(
            np.ma.masked_less(heat, 0.05), cmap="inferno", vmin=0, vmax=0.6, alpha=0.6, origin="lower", aspect=aspect
        )
        if tumor[right, anterior, index].any():
            axes.contour(tumor[right, anterior, index].T, [0.5], colors="white", linewidths=0.8)
        axes.invert_xaxis()  # the patient's right is on the left
        name = (names or {}).get(number)
        axes.set_title(f"Expert {number + 1}" + (f": {name}" if name else ""), color="white", fontsize=11)
        axes.set_axis_off()
    add_footer(figure, "Routing weight of each expert (dark 0, bright 0.6).")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    write_figure(figure, path)
