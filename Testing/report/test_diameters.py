"""RANO's two diameters, right to a millimetre on ellipsoids in any orientation and on anisotropic voxels."""

import numpy as np
import pytest

from magpie_core.report.diameters import diameters
from magpie_core.study.geometry import Geometry


def _ellipsoid(affine, shape, half_axes_mm, turn_deg):
    """An ellipsoid in the middle of a grid, turned about the S axis; half axes along the turned R, A, and S."""
    grid = np.stack(np.meshgrid(*[np.arange(size) for size in shape], indexing="ij"), axis=-1)
    world = grid @ affine[:3, :3].T + affine[:3, 3]
    centre = (np.array(shape) - 1) / 2 @ affine[:3, :3].T + affine[:3, 3]
    angle = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    local = (world - centre) @ turn.T
    return ((local / np.array(half_axes_mm)) ** 2).sum(axis=-1) <= 1


@pytest.mark.parametrize("turn_deg", [0, 17, 45, 80])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.5, 0.9, 5.0), (0.9, 0.9, 3.0)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_an_ellipsoid_has_its_axes(turn_deg, spacing_mm, order):
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(spacing_mm) @ np.diag([-1, 1, 1]))[:, list(order)]
    shape = tuple(int(90 / spacing_mm[axis]) for axis in order)
    mask = _ellipsoid(affine, shape, (30.0, 18.0, 25.0), turn_deg)
    found = diameters(mask, Geometry(shape, affine))
    assert found.longest_mm == pytest.approx(60, abs=1.0)
    assert found.perpendicular_mm == pytest.approx(36, abs=1.0)
    first, second = found.longest_ends_mm
    assert np.linalg.norm(first - second) == pytest.approx(found.longest_mm)
    third, fourth = found.perpendicular_ends_mm
    assert np.linalg.norm(third - fourth) == pytest.approx(found.perpendicular_mm)
    assert abs((first - second) @ (third - fourth)) < 1e-6 * found.product_mm2
    assert np.ptp([end[2] for end in (first, second, third, fourth)]) < 1e-6


def test_only_the_largest_part_is_measured():
    mask = np.zeros((60, 60, 5), bool)
    mask[5:25, 5:15, 2] = True
    mask[50:55, 50:55, 2] = True
    found = diameters(mask, Geometry(mask.shape, np.eye(4)))
    assert found.longest_mm == pytest.approx(np.hypot(20, 10), abs=0.5)


def test_nothing_has_no_diameter_and_a_voxel_has_its_own():
    geometry = Geometry((4, 4, 4), np.eye(4))
    assert diameters(np.zeros((4, 4, 4), bool), geometry) is None
    mask = np.zeros((4, 4, 4), bool)
    mask[1, 1, 1] = True
    assert diameters(mask, geometry).longest_mm == pytest.approx(1.0)
