"""One picture of where the network's attention looks from a place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from magpie_core import RESEARCH_USE, __version__
from magpie_core.imaging.study import Study
from magpie_core.report.orthogonal_slices import VIEWS, Box, OrthogonalSlices
from magpie_core.report.picture_file import write_picture

_LEAST_MM = 50.0  # shown around the place


def draw_attention(
    study: Study, points: Sequence[Mapping[str, Any]], ras: tuple[float, float, float], path: Path
) -> None:
    """Write a PNG: a row for each layer, the three planes through the place, as far around it as most points lie.

    Points are drawn on the plane whatever their depth; a line leads to each from where it would be without a learned
    offset. The larger and brighter, the more weight.

    Parameters
    ----------
    study
        Its reference is the background.
    points
        Each with `layer`, `weight`, `ras` and `from_ras` (mm).
    ras
        The place, mm.
    path
        File to write.
    """
    reference = study.volumes[study.reference]
    planes = OrthogonalSlices.of(reference)
    place = np.array(ras)
    image = np.asarray(reference.data)
    low, high = np.percentile(image[image != image.flat[0]], [1, 99.5]) if image.any() else (0, 1)
    layers = list(dict.fromkeys(str(point["layer"]) for point in points))
    figure = Figure(figsize=(4 * len(VIEWS), 4.2 * len(layers) + 0.4), facecolor="black", dpi=100)
    for row, layer in enumerate(layers):
        own = [point for point in points if point["layer"] == layer]
        away_mm = np.linalg.norm(np.array([point["ras"] for point in own]) - place, axis=1)
        box = _box_around(planes, place, max(_LEAST_MM, float(np.quantile(away_mm, 0.9))))
        for column, view in enumerate(VIEWS):
            axes = figure.add_subplot(len(layers), len(VIEWS), row * len(VIEWS) + column + 1)
            width, height = planes.size_mm(view, box)
            gray = planes.sample(reference, view, planes.plane_of(view, place), box)
            axes.imshow(gray, cmap="gray", vmin=low, vmax=high, extent=(0, width, height, 0))
            _draw_points(axes, planes, view, box, own)
            axes.plot(*planes.on_display(place[None], view, box).T, "+", color="#00e0ff", markersize=14)
            axes.set_xlim(0, width)
            axes.set_ylim(height, 0)
            axes.set_axis_off()
            axes.set_title(f"{layer}, {view}" if column == 0 else view, color="white", fontsize=9)
    words = f"Patient's right is on the left. MAGPIE {__version__}. {RESEARCH_USE}"
    figure.text(0.01, 0.01, words, color="#9a9a9a", fontsize=8)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    write_picture(figure, path)


def _draw_points(
    axes: Axes, planes: OrthogonalSlices, view: str, box: Box, points: Sequence[Mapping[str, Any]]
) -> None:
    ends = planes.on_display(np.array([point["ras"] for point in points]), view, box)
    starts = planes.on_display(np.array([point["from_ras"] for point in points]), view, box)
    weights = np.array([point["weight"] for point in points])
    for start, end in zip(starts, ends, strict=True):
        axes.plot(*np.stack([start, end]).T, color="#ffb000", linewidth=0.5, alpha=0.6)
    sizes = 6 + 60 * weights / weights.max()
    axes.scatter(
        ends[:, 0], ends[:, 1], s=sizes, c=weights, cmap="plasma", vmin=0, edgecolors="none", alpha=0.9
    )


def _box_around(planes: OrthogonalSlices, place: np.ndarray, reach_mm: float) -> Box:
    middle = planes.index_of(place[None])[0]
    reach = reach_mm / planes.spacing_mm
    ends = [
        [int(np.clip(round(at + side * far), 0, size - 1)) for side in (-1, 1)]
        for at, far, size in zip(middle, reach, planes.shape, strict=True)
    ]
    (r, right), (a, anterior), (s, superior) = ends
    return Box((r, a, s), (right, anterior, superior))
