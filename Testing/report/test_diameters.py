"""RANO diameters, exact to 1 mm on ellipsoids in any orientation and on anisotropic voxels."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from magpie_core.imaging.geometry import Geometry
from magpie_core.report.diameters import diameters


def _ellipsoid(affine, shape, half_axes_mm, turn):
    """An ellipsoid in the middle of a grid; half axes along the rows of the rotation `turn` (3, 3)."""
    grid = np.stack(np.meshgrid(*[np.arange(size) for size in shape], indexing="ij"), axis=-1)
    world = grid @ affine[:3, :3].T + affine[:3, 3]
    center = (np.array(shape) - 1) / 2 @ affine[:3, :3].T + affine[:3, 3]
    local = (world - center) @ turn.T
    return ((local / np.array(half_axes_mm)) ** 2).sum(axis=-1) <= 1


@pytest.mark.parametrize("turn_deg", [0, 17, 45, 80])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.5, 0.9, 5.0), (0.9, 0.9, 3.0)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_an_ellipsoid_has_its_axes(turn_deg, spacing_mm, order):
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(spacing_mm) @ np.diag([-1, 1, 1]))[:, list(order)]
    shape = tuple(int(90 / spacing_mm[axis]) for axis in order)
    turn = Rotation.from_euler("z", -turn_deg, degrees=True).as_matrix()
    mask = _ellipsoid(affine, shape, (30.0, 18.0, 25.0), turn)
    found = diameters(mask, Geometry(shape, affine))
    assert found.longest_mm == pytest.approx(60, abs=1.0)
    assert found.perpendicular_mm == pytest.approx(36, abs=1.0)
    first, second = found.longest_ends_mm
    assert np.linalg.norm(first - second) == pytest.approx(found.longest_mm)
    third, fourth = found.perpendicular_ends_mm
    assert np.linalg.norm(third - fourth) == pytest.approx(found.perpendicular_mm)
    assert abs((first - second) @ (third - fourth)) < 1e-6 * found.product_mm2
    assert np.ptp([end[2] for end in (first, second, third, fourth)]) < 1e-6


@pytest.mark.parametrize("turn", Rotation.random(6, random_state=0).as_matrix())
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.5, 0.9, 5.0), (0.9, 0.9, 3.0)])
def test_a_tilted_ellipsoid_has_the_axes_of_its_middle_axial_section(turn, spacing_mm):
    affine = np.diag([-spacing_mm[0], spacing_mm[1], spacing_mm[2], 1.0])
    shape = tuple(int(90 / step) // 2 * 2 + 1 for step in spacing_mm)
    half_axes_mm = np.array([30.0, 18.0, 25.0])
    found = diameters(_ellipsoid(affine, shape, half_axes_mm, turn), Geometry(shape, affine))
    section = (turn.T @ np.diag(half_axes_mm**-2) @ turn)[:2, :2]
    longest_mm, shortest_mm = 2 / np.sqrt(np.linalg.eigvalsh(section))
    assert found.longest_mm == pytest.approx(longest_mm, abs=1.0)
    assert found.perpendicular_mm == pytest.approx(shortest_mm, abs=1.0)


def test_only_the_largest_component_is_measured():
    mask = np.zeros((60, 60, 5), bool)
    mask[5:25, 5:15, 2] = True
    mask[50:55, 50:55, 2] = True
    found = diameters(mask, Geometry(mask.shape, np.eye(4)))
    assert found.longest_mm == pytest.approx(np.hypot(20, 10), abs=0.5)


def test_an_empty_mask_has_no_diameters_and_a_voxel_has_its_own():
    geometry = Geometry((4, 4, 4), np.eye(4))
    assert diameters(np.zeros((4, 4, 4), bool), geometry) is None
    mask = np.zeros((4, 4, 4), bool)
    mask[1, 1, 1] = True
    assert diameters(mask, geometry).longest_mm == pytest.approx(1.0)
