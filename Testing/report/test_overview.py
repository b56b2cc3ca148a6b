"""The overview: outlines where the tumor is, in radiological convention."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest

from magpie_core.imaging.glioma import Tissue
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.study import Study
from magpie_core.report.overview import WIDTH_PX, draw_overview


def draw(study, prediction, folder) -> np.ndarray:
    """Return the picture as (rows, columns, 3) between 0 and 1."""
    draw_overview(study, prediction.segmentation, folder / "overview.png")
    return matplotlib.image.imread(folder / "overview.png")[..., :3]


def pixels(picture, tissue) -> np.ndarray:
    """Return (n, 2) rows and columns with about the color of a tissue, below the legend."""
    color = np.array(tissue.color) / 255
    found = np.argwhere(np.abs(picture - color).max(axis=-1) < 0.045)
    return found[found[:, 0] > 110]


def test_every_tissue_is_outlined(study, prediction, tmp_path):
    picture = draw(study, prediction, tmp_path)
    assert picture.shape[1] == WIDTH_PX
    for tissue in (Tissue.NCR, Tissue.ED, Tissue.ET):
        assert len(pixels(picture, tissue)) > 100, tissue


def test_a_tumor_on_the_right_is_drawn_on_the_left(study, prediction, tmp_path):
    found = pixels(draw(study, prediction, tmp_path), Tissue.ED)
    axial = found[found[:, 1] < 450]
    assert len(axial) > 50 and np.median(axial[:, 1]) < 230  # the first panel is about 460 pixels wide


def test_outlines_do_not_fill(study, prediction, tmp_path):
    found = pixels(draw(study, prediction, tmp_path), Tissue.ET)
    first = found[found[:, 1] < 450]
    height, width = np.ptp(first, axis=0)
    assert len(first) < 0.2 * height * width


def test_thick_slices_keep_their_proportions(study, prediction, tmp_path):
    found = pixels(draw(study, prediction, tmp_path), Tissue.ED)
    row = found[found[:, 0] < np.median(found[:, 0])]
    axial, coronal = row[row[:, 1] < 450], row[(row[:, 1] > 560) & (row[:, 1] < 980)]
    # A ball of 9 mm: as high in the coronal plane (3 mm voxels) as wide in the axial one, within a slice.
    assert np.ptp(coronal[:, 0]) == pytest.approx(np.ptp(axial[:, 1]), rel=0.25)


def test_overview_without_a_tumor_says_so_and_outlines_nothing(study, no_tumor, tmp_path):
    picture = draw(study, no_tumor, tmp_path)
    for tissue in (Tissue.NCR, Tissue.ED, Tissue.ET):
        assert len(pixels(picture, tissue)) == 0
    head = picture[50:110]
    assert (np.abs(head - (1.0, 0.82, 0.4)).max(axis=-1) < 0.1).sum() > 500  # the sentence that says so


def test_overview_of_one_modality_has_one_row(study, prediction, tmp_path):
    both = draw(study, prediction, tmp_path)
    alone = Study({Modality.T1CE: study.volumes[Modality.T1CE]}, "alone")
    one = draw(alone, prediction, tmp_path)
    assert one.shape[0] < 0.7 * both.shape[0] and len(pixels(one, Tissue.ET)) > 50


def test_overview_is_deterministic(study, prediction, tmp_path):
    for name in ("a.png", "b.png"):
        draw_overview(study, prediction.segmentation, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_study_name_is_not_parsed_as_a_formula(study, prediction, tmp_path):
    named = Study(study.volumes, "a_$x^2_{$")
    assert draw(named, prediction, tmp_path).shape[1] == WIDTH_PX


def test_doubts_about_the_images_stand_above_them(study, prediction, tmp_path):
    plain = draw(study, prediction, tmp_path)
    draw_overview(study, prediction.segmentation, tmp_path / "doubted.png", doubts=["The T1ce looks like a T1."] * 2)
    doubted = matplotlib.image.imread(tmp_path / "doubted.png")[..., :3]
    yellow = np.abs(doubted - np.array([255, 209, 102]) / 255).max(axis=-1) < 0.05
    assert doubted.shape[0] > plain.shape[0] and yellow[90:150].any()  # one line, though said twice
