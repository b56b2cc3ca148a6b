"""Reorientation to RAS: all 48 storage orders of an image become one."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.reorientation import Reorientation

DATA = np.arange(2 * 3 * 4).reshape(2, 3, 4)


def stored(axes: tuple[int, ...], flips: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return DATA (2 x 3 x 4 mm spacing along R, A, S) in another storage order, with its affine."""
    affine = np.diag([2.0, 3, 4, 1])
    affine[:3, 3] = (10.25, -20, 30)
    data, matrix = DATA.transpose(axes), affine[:, [*axes, 3]]
    for axis, flip in enumerate(flips):
        if flip:
            data = np.flip(data, axis)
            matrix[:3, 3] += (data.shape[axis] - 1) * matrix[:3, axis]
            matrix[:3, axis] *= -1
    return data, matrix


@pytest.mark.parametrize("flips", list(product([0, 1], repeat=3)))
@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_all_storage_orders_become_one(axes: tuple[int, ...], flips: tuple[int, ...]) -> None:
    data, affine = stored(axes, flips)
    order = Reorientation.of(Geometry(data.shape, affine))
    assert (order.apply(data) == DATA).all()
    assert np.allclose(order.affine, [[2, 0, 0, 10.25], [0, 3, 0, -20], [0, 0, 4, 30], [0, 0, 0, 1]])
    assert np.allclose(order.exact_affine, order.affine)
    assert order.aligned


def test_writing_through_the_view_reaches_the_stored_data() -> None:
    data, affine = stored((2, 0, 1), (1, 0, 1))
    data = data.copy()
    order = Reorientation.of(Geometry(data.shape, affine))
    order.apply(data)[1, 2, 3] = -1
    place = np.argwhere(data == -1)[0]
    assert affine @ [*place, 1] == pytest.approx([10.25 + 2, -20 + 6, 30 + 12, 1])


def test_an_oblique_grid_keeps_its_rotation_but_not_its_order() -> None:
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[:3, :3] = [[0, -np.cos(angle), np.sin(angle)], [0, np.sin(angle), np.cos(angle)], [1, 0, 0]]
    order = Reorientation.of(Geometry((4, 5, 6), affine))
    assert order.axes == (1, 2, 0)
    assert order.flips == (True, False, False)
    assert not order.aligned
    assert np.linalg.det(order.affine[:3, :3]) == pytest.approx(1)
