"""Montage of many labeled studies."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.report.figure import add_footer, tissue_color, write_figure
from magpie_core.report.orthogonal_slices import OrthogonalSlices, content_box

_COLUMNS = 6
_MOST_SHOWN = 240
_SHOWN = (Modality.T1CE, Modality.FLAIR)


def draw_study_montage(studies: Iterable[tuple[Study, Segmentation, str]], path: Path, *, title: str = "") -> None:
    """Draw a PNG: for each study the axial slice with most of the lesion, in two modalities, outlined in the second.

    Shows the first 240 studies, in T1ce and FLAIR where a study has them, else in its first modalities. The patient's
    right is on the left.

    Args:
        studies: Each with its segmentation on the same grid, and a caption.
    """
    cells = [
        (*_cell(study, segmentation), segmentation.schema.labels, caption)
        for study, segmentation, caption in islice(studies, _MOST_SHOWN)
    ]
    rows = -(-len(cells) // _COLUMNS)
    figure = Figure(figsize=(2.6 * _COLUMNS, 1.75 * rows + 0.3), facecolor="black", dpi=80)
    axes_of = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axes in axes_of:
        axes.set_axis_off()
    for axes, (image, labels, tissues, caption) in zip(figure.axes, cells, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, origin="lower")
        for value, tissue in tissues.items():
            if (labels == value).any():
                axes.contour(labels == value, [0.5], colors=[tissue_color(tissue)], linewidths=0.6)
        axes.set_title(caption, color="white", fontsize=7, pad=2)
    add_footer(figure, title)
    figure.subplots_adjust(left=0.002, right=0.998, top=0.975, bottom=0.02, wspace=0.02, hspace=0.12)
    write_figure(figure, path)


def _cell(study: Study, segmentation: Segmentation) -> tuple[np.ndarray, np.ndarray]:
    """Return two modalities of a slice side by side, 0 to 1, and the labels over the second."""
    slices = OrthogonalSlices(study.volumes[study.reference])
    labels = slices.reorient(segmentation.labels)
    counts = (labels > 0).sum(axis=(0, 1))
    index = int(counts.argmax()) if counts.any() else labels.shape[2] // 2
    names = [name for name in _SHOWN if name in study.volumes]
    names = (names + [name for name in study.modalities if name not in names])[:2]
    images = [slices.reorient(np.asarray(study.volumes[name].data, np.float32)) for name in names]
    box = content_box(images[0], labels > 0, slices.spacing_mm)
    shown = (*box.ranges[:2], index)
    grays = []
    for image in images:
        inside = image[image > 0]
        top = float(np.percentile(inside, 99.5)) if inside.size else 1.0
        grays.append((image[shown][::-1].T / top).clip(0, 1))
    outlined = labels[shown][::-1].T
    empty = [np.zeros_like(outlined)] * (len(grays) - 1)
    return np.concatenate(grays, axis=1), np.concatenate([*empty, outlined], axis=1)
