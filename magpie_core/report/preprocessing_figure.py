"""Figure of the preprocessing: every co-registered modality, with the brain's outline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from magpie_core.imaging.modality import Modality
from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing.prepared_study import PreparedStudy
from magpie_core.report.figure import add_footer, write_figure
from magpie_core.report.orthogonal_slices import VIEWS, OrthogonalSlices, content_box

_PANEL_INCHES = 3.2
_BRAIN, _EDGE, _TEXT = "#ffb000", "#40c4ff", "#f2f2f2"


def draw_preprocessing(prepared: PreparedStudy, path: Path) -> None:
    """Draw a PNG: a row for each modality, slices through the middle of the head.

    Orange outlines the brain mask, if there is one; blue outlines the tissue of the reference: where that fits another
    modality, the two are aligned. The patient's right is on the left.
    """
    study, brain = prepared.study, prepared.brain
    reference = study.volumes[study.reference]
    slices = OrthogonalSlices(reference)
    image = slices.reorient(np.asarray(reference.data))
    box = content_box(image, np.zeros(image.shape, bool), slices.spacing_mm)
    layers: list[tuple[Modality | str, Volume]] = [*study.volumes.items()]
    if brain is not None:
        layers.append(("brain", Volume(brain.data.astype(np.float32), brain.affine)))
    sampled = {
        (name, view): slices.sample(volume, view, box.middle[view], box) for name, volume in layers for view in VIEWS
    }
    contours = {view: _contours(sampled[study.reference, view]) for view in VIEWS}
    rows = len(study.modalities)
    figure = Figure(figsize=(_PANEL_INCHES * len(VIEWS), _PANEL_INCHES * rows + 0.5), dpi=100, facecolor="black")
    grid = figure.subplots(rows, len(VIEWS), squeeze=False)
    for line, modality in zip(grid, study.volumes, strict=True):
        for axes, view in zip(line, VIEWS, strict=True):
            width, height = slices.size_mm(view, box)
            shown = sampled[modality, view]
            white = _white(shown)
            axes.imshow(shown, cmap="gray", vmin=0, vmax=white, extent=(0, width, height, 0), interpolation="bilinear")
            across = (np.arange(shown.shape[1]) + 0.5) * width / shown.shape[1]
            down = (np.arange(shown.shape[0]) + 0.5) * height / shown.shape[0]
            if modality is not study.reference:
                axes.contour(across, down, *contours[view], colors=_EDGE, linewidths=0.6)
            inside = sampled.get(("brain", view))
            if inside is not None and inside.max() > 0.5:
                axes.contour(across, down, inside, [0.5], colors=_BRAIN, linewidths=1.0)
            axes.set_axis_off()
        title = modality.label
        if moved := prepared.registrations.get(modality):
            title += f" moved by {moved.shift_mm:.1f} mm, {moved.rotation_deg:.1f} degrees"
        line[0].set_title(title, color=_TEXT, fontsize=9, loc="left")
    add_footer(
        figure, f"Orange: the brain. Blue: tissue of the {study.reference.label}. The patient's right is on the left."
    )
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    write_figure(figure, path)


def _contours(image: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Return a smoothed slice and the gray value at which to outline its tissue."""
    smooth = gaussian_filter(image.astype(np.float32), 1.0)
    tissue = smooth[smooth > 0.1 * _white(smooth)]
    return smooth, [float(np.percentile(tissue, 25))] if tissue.size else [1.0]


def _white(image: np.ndarray) -> float:
    return float(np.percentile(image, 99.5)) or 1.0
