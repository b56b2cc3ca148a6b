"""Overview of a result: orthogonal slices through the tumor, with the outline of each tissue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from scipy.ndimage import distance_transform_edt

from magpie_core import RESEARCH_USE, __version__
from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.report.figure import DIM, gray_range, tissue_color, write_figure
from magpie_core.report.milliliters import format_ml
from magpie_core.report.orthogonal_slices import EDGE_LETTERS, VIEWS, Box, OrthogonalSlices, content_box, largest_slices

WIDTH_PX = 1600
_MARGIN_PX, _GAP_PX, _HEAD_PX, _FOOT_PX, _DOUBT_PX = 44, 18, 118, 44, 26
_BACKGROUND, _TEXT, _LETTER, _WARNING = "#000000", "#f2f2f2", "#c8c8c8", "#ffd166"
_LEGEND_ORDER = (Tissue.ET, Tissue.NCR, Tissue.ED, Tissue.RC)


def draw_overview(study: Study, segmentation: Segmentation, path: Path, *, doubts: Sequence[str] = ()) -> None:
    """Draw a PNG, 1600 pixels wide: axial, coronal and sagittal slices through the tumor.

    The upper row shows the study's reference, the lower one FLAIR (else T2). The slices are those with the
    largest area of the whole tumor. Radiological convention: the patient's right is on the left of the
    picture. Voxels keep their true proportions, and all panels have one scale.

    Args:
        study: Its reference has the grid of the segmentation.
        segmentation: Without a tumor the slices through the middle are shown, and the figure says so.
        doubts: Sentences about the images, written above them.
    """
    reference = study.volumes[study.reference]
    slices = OrthogonalSlices(reference)
    labels = slices.reorient(segmentation.labels)
    tumor = labels > 0
    image = slices.reorient(np.asarray(reference.data))
    box = content_box(image, tumor, slices.spacing_mm)
    indices = largest_slices(tumor, slices.spacing_mm) if tumor.any() else box.middle
    picture = _Picture(slices, box, indices, labels, segmentation)
    write_figure(_layout(picture, study, tuple(dict.fromkeys(doubts))), path)


@dataclass(frozen=True)
class _Picture:
    """What all panels share."""

    slices: OrthogonalSlices
    box: Box
    indices: dict[str, int]
    labels: np.ndarray
    segmentation: Segmentation


def _layout(picture: _Picture, study: Study, doubts: tuple[str, ...]) -> Figure:
    edema = [name for name in (Modality.FLAIR, Modality.T2) if name in study.volumes and name is not study.reference]
    rows = (study.reference, *edema[:1])
    sizes_mm = {view: picture.slices.size_mm(view, picture.box) for view in VIEWS}
    available_px = WIDTH_PX - 2 * _MARGIN_PX - _GAP_PX * (len(VIEWS) - 1)
    px_per_mm = available_px / sum(width for width, _ in sizes_mm.values())
    row_px = max(height for _, height in sizes_mm.values()) * px_per_mm
    head_px = _HEAD_PX + _DOUBT_PX * len(doubts)
    height_px = round(head_px + _FOOT_PX + len(rows) * row_px + (len(rows) - 1) * _GAP_PX)
    figure = Figure(figsize=(WIDTH_PX / 100, height_px / 100), dpi=100, facecolor=_BACKGROUND)
    top_px = float(head_px)
    for row, modality in enumerate(rows):
        volume = study.volumes[modality]
        gray = gray_range(volume.data)
        left_px = float(_MARGIN_PX)
        for view in VIEWS:
            width, height = (length * px_per_mm for length in sizes_mm[view])
            bottom_px = height_px - top_px - (row_px + height) / 2
            axes = figure.add_axes((left_px / WIDTH_PX, bottom_px / height_px, width / WIDTH_PX, height / height_px))
            _draw_panel(axes, picture, view, volume, gray)
            _annotate(axes, picture, view, modality if view == VIEWS[0] else None, with_position=row == 0)
            left_px += width + _GAP_PX
        top_px += row_px + _GAP_PX
    # A scale of 50 mm; all panels have it.
    first, bottom_mm = figure.axes[0], sizes_mm[VIEWS[0]][1]
    first.plot([4, 54], [bottom_mm - 4, bottom_mm - 4], color=DIM, linewidth=1.5)
    first.text(4, bottom_mm - 6, "50 mm", color=DIM, fontsize=10, ha="left", va="bottom")
    _head(figure, study, picture.segmentation, height_px)
    for line, sentence in enumerate(doubts):
        top = 1 - (_HEAD_PX - 12 + _DOUBT_PX * line) / height_px
        figure.text(_MARGIN_PX / WIDTH_PX, top, sentence, color=_WARNING, fontsize=13, va="top", parse_math=False)
    return figure


def _draw_panel(axes: Axes, picture: _Picture, view: str, volume: Volume, gray: tuple[float, float]) -> None:
    index, box = picture.indices[view], picture.box
    width, height = picture.slices.size_mm(view, box)
    low, high = gray
    image = picture.slices.sample(volume, view, index, box)
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, extent=(0, width, height, 0), interpolation="bicubic")
    axes.set_axis_off()
    # A line for each tissue, a little inside it: where two tissues meet, both lines are visible.
    labels = np.pad(picture.slices.extract(picture.labels, view, index, box), 1)
    pixel_mm = (height / (labels.shape[0] - 2), width / (labels.shape[1] - 2))
    y, x = (np.arange(count) * step - step / 2 for count, step in zip(labels.shape, pixel_mm, strict=True))
    for value, tissue in picture.segmentation.schema.labels.items():
        mask = labels == value
        if mask.any():
            inside = distance_transform_edt(mask, sampling=pixel_mm)
            outside = distance_transform_edt(~mask, sampling=pixel_mm)
            level = 0.65 * min(pixel_mm)
            axes.contour(x, y, inside - outside, levels=[level], colors=[tissue_color(tissue)], linewidths=1.25)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def _annotate(axes: Axes, picture: _Picture, view: str, modality: Modality | None, *, with_position: bool) -> None:
    """Write edge letters, the modality (first panel of a row), and where the slice lies (first row)."""
    style: dict[str, Any] = {"transform": axes.transAxes, "fontsize": 13, "color": _LETTER}
    style["path_effects"] = [withStroke(linewidth=3, foreground=_BACKGROUND)]
    left, right, top, bottom = EDGE_LETTERS[view]
    axes.text(0.005, 0.5, left, ha="left", va="center", **style)
    axes.text(0.995, 0.5, right, ha="right", va="center", **style)
    axes.text(0.5, 0.995, top, ha="center", va="top", **style)
    axes.text(0.5, 0.005, bottom, ha="center", va="bottom", **style)
    if with_position:
        position = picture.slices.position(view, picture.indices[view])
        axes.text(0.99, 0.995, ", ".join(filter(None, (view, position))), ha="right", va="top", **style)
    if modality is not None:
        axes.text(0.01, 0.995, modality.label, ha="left", va="top", **style | {"fontsize": 15, "color": _TEXT})


def _head(figure: Figure, study: Study, segmentation: Segmentation, height_px: int) -> None:
    """Write name (shortened to leave space), legend with volumes, and the statement of use."""
    left, right = _MARGIN_PX / WIDTH_PX, 1 - _MARGIN_PX / WIDTH_PX
    name = study.name if len(study.name) <= 60 else f"{study.name[:30]}...{study.name[-30:]}"
    figure.text(left, 1 - 20 / height_px, name, color=_TEXT, fontsize=19, va="top", parse_math=False)
    statement = f"Patient's right is on the left.  MAGPIE {__version__}.  {RESEARCH_USE}"
    figure.text(left, 12 / height_px, statement, color=DIM, fontsize=11, va="bottom")
    if not segmentation.labels.any():
        found = "No tumor was found. That does not exclude one."
        figure.text(left, 1 - 66 / height_px, found, color=_WARNING, fontsize=17, va="top")
        return
    totals = [f"{region.label} {format_ml(segmentation.volume_ml(region))}" for region in (Region.TC, Region.WT)]
    figure.text(right, 1 - 24 / height_px, "      ".join(totals), color=_TEXT, fontsize=15, ha="right", va="top")
    tissues = sorted(segmentation.schema.labels.values(), key=_LEGEND_ORDER.index)
    figure.legend(
        handles=[Line2D([], [], color=tissue_color(tissue), linewidth=3) for tissue in tissues],
        labels=[f"{tissue.label}  {format_ml(segmentation.volume_ml(tissue))}" for tissue in tissues],
        loc="upper left",
        bbox_to_anchor=(left, 1 - 60 / height_px),
        ncols=len(tissues),
        borderpad=0,
        borderaxespad=0,
        handlelength=1.4,
        columnspacing=2.5,
        frameon=False,
        labelcolor=_TEXT,
        fontsize=15,
    )
