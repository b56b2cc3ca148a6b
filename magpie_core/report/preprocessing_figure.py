"""A picture of how a study was made ready: every modality in the reference's place, with the brain's outline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from magpie_core import RESEARCH_USE, __version__
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.report.orthogonal_slices import VIEWS, OrthogonalSlices, content_box
from magpie_core.report.picture_file import write_picture

_PANEL_INCHES = 3.2
_BRAIN, _EDGE, _TEXT = "#ffb000", "#40c4ff", "#f2f2f2"


def draw_preprocessing(study: Study, brain: Volume | None, notes: dict[str, str], path: Path) -> None:
    """Write a PNG: a row for each modality, planes through the middle of the head.

    Orange is the outline of the brain, blue outlines what is seen on the reference: where that fits another modality,
    the two are aligned. The patient's right is on the left of the picture.

    Parameters
    ----------
    study
        The modalities after alignment.
    brain
        Mask; None if the images hold the brain alone.
    notes
        A line for each modality (by name), such as by how much it was moved.
    """
    reference = study.volumes[study.reference]
    planes = OrthogonalSlices.of(reference)
    image = planes.turn(np.asarray(reference.data))
    box = content_box(image, np.zeros(image.shape, bool), planes.spacing_mm)
    middle = [(low + high) // 2 for low, high in zip(box.first, box.last, strict=True)]
    indices = {"sagittal": middle[0], "coronal": middle[1], "axial": middle[2]}
    contours = {view: _contours(planes.sample(reference, view, indices[view], box)) for view in VIEWS}
    outline = None if brain is None else Volume(brain.data.astype(np.float32), brain.affine)
    rows = len(study.modalities)
    figure = Figure(
        figsize=(_PANEL_INCHES * len(VIEWS), _PANEL_INCHES * rows + 0.5), dpi=100, facecolor="black"
    )
    grid = figure.subplots(rows, len(VIEWS), squeeze=False)
    for line, (modality, volume) in zip(grid, study.volumes.items(), strict=True):
        for axes, view in zip(line, VIEWS, strict=True):
            width, height = planes.size_mm(view, box)
            extent = (0.0, width, height, 0.0)
            shown = planes.sample(volume, view, indices[view], box)
            axes.imshow(
                shown, cmap="gray", vmin=0, vmax=_white(shown), extent=extent, interpolation="bilinear"
            )
            across = (np.arange(shown.shape[1]) + 0.5) * width / shown.shape[1]
            down = (np.arange(shown.shape[0]) + 0.5) * height / shown.shape[0]
            if modality is not study.reference:
                axes.contour(across, down, *contours[view], colors=_EDGE, linewidths=0.6)
            if outline is not None:
                inside = planes.sample(outline, view, indices[view], box)
                if inside.max() > 0.5:
                    axes.contour(across, down, inside, [0.5], colors=_BRAIN, linewidths=1.0)
            axes.set_axis_off()
        text = " ".join(filter(None, (modality.label, notes.get(modality.value, ""))))
        line[0].set_title(text, color=_TEXT, fontsize=9, loc="left")
    words = f"Orange: the brain. Blue: what is seen on the {study.reference.label}. The patient's right is on the left."
    figure.text(0.01, 0.008, f"{words}  MAGPIE {__version__}.  {RESEARCH_USE}", color=_TEXT, fontsize=7)
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    write_picture(figure, path)


def _contours(plane: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """A plane, a little smoothed, and the gray value at which to outline what is in it."""
    smooth = gaussian_filter(plane.astype(np.float32), 1.0)
    tissue = smooth[smooth > 0.1 * _white(smooth)]
    return smooth, [float(np.percentile(tissue, 25))] if tissue.size else [1.0]


def _white(plane: np.ndarray) -> float:
    return float(np.percentile(plane, 99.5)) or 1.0
