"""World coordinates of crops, coarser grids and upsampled volumes."""

import pytest
import torch

from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.volume_operations import pool, upsample

SHAPES = [((44, 48, 40), 0.5), ((44, 36, 52), 0.8), ((28, 32, 20), 1.5), ((16, 20, 24), 4.0)]


@pytest.fixture(params=SHAPES, ids=lambda each: f"{each[1]} mm")
def canvas(request):
    """A grid whose center is not the world's, at several voxel sizes."""
    shape, spacing_mm = request.param
    return Canvas(shape, spacing_mm, Rng(1), center_mm=(3.0, -2.0, 7.5))


def test_crop_has_the_points_of_its_box(canvas):
    box = canvas.box_around(torch.tensor([2.0, -4.0, 6.0]), torch.tensor([5.0, 1.0, 9.0]))
    part = canvas.crop(box)
    torch.testing.assert_close(part.points, canvas.points[(slice(None), *box)])
    inner = part.crop((slice(1, 3), slice(0, 2), slice(2, 4)))
    torch.testing.assert_close(inner.points, part.points[:, 1:3, 0:2, 2:4])


@pytest.mark.parametrize("far", [0.0, 60.0, -60.0])
def test_box_around_two_corners_covers_them_within_the_grid(canvas, far):
    low, high = torch.tensor([1.0 + far, -3.0, 6.0]), torch.tensor([4.0 + far, 0.5, 8.0])
    box = canvas.box_around(low, high)
    inside = torch.ones(canvas.shape, dtype=torch.bool)
    for axis in range(3):
        inside &= (canvas.axis(axis) >= low[axis]) & (canvas.axis(axis) <= high[axis])
    held = torch.zeros(canvas.shape, dtype=torch.bool)
    held[box] = True
    assert not (inside & ~held).any()
    assert all(0 <= part.start < part.stop <= n for part, n in zip(box, canvas.shape, strict=True))


def test_coarser_grid_has_the_mean_points_of_its_cells(canvas):
    coarse, factor = canvas.coarser()
    for axis in range(3):
        torch.testing.assert_close(pool(canvas.points[axis], factor), coarse.points[axis])


def test_upsampled_volume_keeps_its_position(canvas):
    coarse, factor = canvas.coarser()
    for axis in range(3):
        back = upsample(coarse.points[axis], canvas.shape, factor)
        first, last = coarse.axis(axis).min(), coarse.axis(axis).max()
        torch.testing.assert_close(back, canvas.points[axis].clamp(first, last))


def test_point_is_drawn_at_the_weight(canvas):
    weights = canvas.zeros()
    weights[5, 7, 9] = 1e6
    point = canvas.draw_point(weights, scatter_mm=0.0)
    torch.testing.assert_close(point, canvas.points[:, 5, 7, 9])
