"""Figure of the points that the network's attention samples from one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from magpie_core.imaging.study import Study
from magpie_core.report.figure import add_footer, gray_range, write_figure
from magpie_core.report.orthogonal_slices import VIEWS, Box, OrthogonalSlices

_LEAST_MM = 50.0  # shown around the place


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
        path: File to write.
    """
    reference = study.volumes[study.reference]
    slices = OrthogonalSlices.of(reference)
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
    middle = slices.voxel_of(place[None])[0]
    reach = reach_mm / slices.spacing_mm
    ends = [
        [int(np.clip(round(at + side * far), 0, size - 1)) for side in (-1, 1)]
        for at, far, size in zip(middle, reach, slices.shape, strict=True)
    ]
    (r, right), (a, anterior), (s, superior) = ends
    return Box((r, a, s), (right, anterior, superior))
