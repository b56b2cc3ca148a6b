"""One picture of many labeled studies."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from magpie_core import RESEARCH_USE, __version__
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.report.orthogonal_slices import OrthogonalSlices, content_box
from magpie_core.report.picture_file import write_picture

_COLUMNS = 6
_MOST_SHOWN = 240
_SHOWN = (Modality.T1CE, Modality.FLAIR)


def draw_study_montage(
    studies: Iterable[tuple[Study, Segmentation, str]], path: Path, *, title: str = ""
) -> None:
    """Write a PNG: for each study the axial plane with most of the lesion, in two modalities, outlined in the second.

    The first 240 are drawn, in T1ce and FLAIR where a study has them, else in its first images. The patient's right is
    on the left.

    Parameters
    ----------
    studies
        Each with its labels on the same grid, and words to stand above it.
    path
        File to write.

    Raises
    ------
    ResourceError
        If it cannot be written.
    """
    cells = [
        _cell(study, segmentation) + (words,) for study, segmentation, words in islice(studies, _MOST_SHOWN)
    ]
    rows = -(-len(cells) // _COLUMNS)
    figure = Figure(figsize=(2.6 * _COLUMNS, 1.75 * rows + 0.3), facecolor="black", dpi=80)
    axes_of = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axes in axes_of:
        axes.set_axis_off()
    for axes, (picture, labels, words) in zip(figure.axes, cells, strict=False):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1, origin="lower")
        for value, color in ((2, "#8ce0e4"), (1, "#d8bfd8"), (3, "#e65a3c")):
            if (labels == value).any():
                axes.contour(labels == value, [0.5], colors=color, linewidths=0.6)
        axes.set_title(words, color="white", fontsize=7, pad=2)
    told = f"{title} MAGPIE {__version__}. {RESEARCH_USE}".strip()
    figure.text(0.005, 0.005, told, color="#9a9a9a", fontsize=7)
    figure.subplots_adjust(left=0.002, right=0.998, top=0.975, bottom=0.02, wspace=0.02, hspace=0.12)
    write_picture(figure, path)


def _cell(study: Study, segmentation: Segmentation) -> tuple[np.ndarray, np.ndarray]:
    """Two planes side by side, 0 to 1, and the labels over the second."""
    planes = OrthogonalSlices.of(study.volumes[study.reference])
    labels = planes.turn(segmentation.labels)
    counts = (labels > 0).sum(axis=(0, 1))
    index = int(counts.argmax()) if counts.any() else labels.shape[2] // 2
    names = [name for name in _SHOWN if name in study.volumes]
    names = (names + [name for name in study.modalities if name not in names])[:2]
    images = [planes.turn(np.asarray(study.volumes[name].data, np.float32)) for name in names]
    box = content_box(images[0], labels > 0, planes.spacing_mm)
    across, along = (slice(box.first[axis], box.last[axis] + 1) for axis in (0, 1))
    shown = []
    for image in images:
        inside = image[image > 0]
        top = float(np.percentile(inside, 99.5)) if inside.size else 1.0
        shown.append((image[across, along, index][::-1].T / top).clip(0, 1))
    there = labels[across, along, index][::-1].T
    beside = [np.zeros_like(there)] * (len(shown) - 1)
    return np.concatenate(shown, axis=1), np.concatenate([*beside, there], axis=1)
