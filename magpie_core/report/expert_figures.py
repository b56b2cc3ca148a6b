"""Figures of what the network did: the routing maps of its experts, the sampling points of its attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.report.figure import add_footer, gray_range, write_figure
from magpie_core.report.orthogonal_slices import VIEWS, Box, OrthogonalSlices, content_box, largest_slices

_COLUMNS = 4
_LEAST_MM = 50.0  # shown around the place of the attention


def draw_expert_montage(
    study: Study, segmentation: Segmentation, maps: np.ndarray, path: Path, *, names: Mapping[int, str] | None = None
) -> None:
    """Draw a PNG: the axial slice with most tumor, once for each expert, with its routing map over it.

    Args:
        study: Its reference is shown, on whose grid the rest lies.
        segmentation: Outlined in white.
        maps: (E, I, J, K) uint8, 255 for 1.
        names: Names of experts, by their number from 0.
    """
    reference = study.volumes[study.reference]
    slices = OrthogonalSlices(reference)
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


def draw_attention(
    study: Study, points: Sequence[Mapping[str, Any]], ras: tuple[float, float, float], path: Path
) -> None:
    """Draw a PNG: a row for each layer, the orthogonal slices through the place, as wide as most points lie.

    Points are projected onto the slices; a line leads to each from where it would be without its learned offset. Size
    and color show the weight.

    Args:
        study: Its reference is shown.
        points: Each with `layer`, `weight`, `ras` and `from_ras` (mm).
        ras: The place, mm.
    """
    reference = study.volumes[study.reference]
    slices = OrthogonalSlices(reference)
    place = np.array(ras)
    image = np.asarray(reference.data)
    low, high = gray_range(image)
    layers = list(dict.fromkeys(str(point["layer"]) for point in points))
    figure = Figure(figsize=(4 * len(VIEWS), 4.2 * len(layers) + 0.4), facecolor="black", dpi=100)
    for row, layer in enumerate(layers):
        own = [point for point in points if point["layer"] == layer]
        distance_mm = np.linalg.norm(np.array([point["ras"] for point in own]) - place, axis=1)
        box = _box_around(slices, place, max(_LEAST_MM, float(np.quantile(distance_mm, 0.9))))
        for column, view in enumerate(VIEWS):
            axes = figure.add_subplot(len(layers), len(VIEWS), row * len(VIEWS) + column + 1)
            width, height = slices.size_mm(view, box)
            gray = slices.sample(reference, view, slices.index_at(view, place), box)
            axes.imshow(gray, cmap="gray", vmin=low, vmax=high, extent=(0, width, height, 0))
            _draw_points(axes, slices, view, box, own)
            axes.plot(*slices.on_display(place[None], view, box).T, "+", color="#00e0ff", markersize=14)
            axes.set_xlim(0, width)
            axes.set_ylim(height, 0)
            axes.set_axis_off()
            axes.set_title(f"{layer}, {view}" if column == 0 else view, color="white", fontsize=9)
    add_footer(figure, "Patient's right is on the left.")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    write_figure(figure, path)


def _draw_points(
    axes: Axes, slices: OrthogonalSlices, view: str, box: Box, points: Sequence[Mapping[str, Any]]
) -> None:
    ends = slices.on_display(np.array([point["ras"] for point in points]), view, box)
    starts = slices.on_display(np.array([point["from_ras"] for point in points]), view, box)
    weights = np.array([point["weight"] for point in points])
    for start, end in zip(starts, ends, strict=True):
        axes.plot(*np.stack([start, end]).T, color="#ffb000", linewidth=0.5, alpha=0.6)
    sizes = 6 + 60 * weights / weights.max()
    axes.scatter(ends[:, 0], ends[:, 1], s=sizes, c=weights, cmap="plasma", vmin=0, edgecolors="none", alpha=0.9)


def _box_around(slices: OrthogonalSlices, place: np.ndarray, reach_mm: float) -> Box:
    middle, reach = slices.voxel_of(place[None])[0], reach_mm / slices.spacing_mm
    last = np.array(slices.shape) - 1
    first, end = (np.clip(np.rint(middle + side * reach).astype(int), 0, last) for side in (-1, 1))
    return Box(tuple(first.tolist()), tuple(end.tolist()))
