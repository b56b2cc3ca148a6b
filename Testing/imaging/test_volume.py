"""Volumes and grids: derived sizes, and validation of their values."""

from __future__ import annotations

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.volume import Volume


def test_spacing_and_voxel_volume_of_an_oblique_left_handed_grid() -> None:
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, -1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * (0.5, 2, 3)
    volume = Volume(np.zeros((2, 3, 4)), affine)
    assert volume.shape == (2, 3, 4)
    assert volume.spacing_mm == pytest.approx((0.5, 2, 3))
    assert volume.voxel_volume_ml == pytest.approx(0.003)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({(0, 0): np.nan}, "finite"),
        ({(2, 2): 0.0}, "zero"),
        ({(0, 1): 0.1}, "sheared"),
        ({(0, 0): 0.0, (1, 0): 1.0}, "coincide"),
    ],
)
def test_an_unusable_affine_is_refused_with_the_file_name(change: dict, word: str) -> None:
    affine = np.eye(4)
    for place, value in change.items():
        affine[place] = value
    with pytest.raises(InputError, match=word) as caught:
        Volume(np.zeros((2, 2, 2)), affine, "t1.nii.gz")
    assert caught.value.source == "t1.nii.gz"
    assert caught.value.remedy


@pytest.mark.parametrize(
    "data",
    [np.zeros((3, 3)), np.zeros((0, 3, 3)), np.zeros((3, 3, 3), complex), np.zeros((3, 3, 3), "V3")],
    ids=["flat", "empty", "complex", "color"],
)
def test_what_is_not_a_gray_value_volume_is_refused(data: np.ndarray) -> None:
    with pytest.raises(InputError):
        Volume(data, np.eye(4))


def test_the_affine_is_read_only() -> None:
    affine = np.eye(4)
    volume = Volume(np.zeros((2, 2, 2)), affine)
    affine[0, 3] = 5
    assert volume.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 3] = 5


def test_grids_match_by_world_coordinates_of_their_voxels() -> None:
    near, far = np.eye(4), np.eye(4)
    near[0, 3], far[0, 0] = 5e-4, 1.01
    grid = Geometry((10, 10, 10), np.eye(4))
    assert grid.matches(Geometry((10, 10, 10), near))
    assert not grid.matches(Geometry((10, 10, 11), np.eye(4)))
    assert not grid.matches(Geometry((10, 10, 10), far))
    assert grid.matches(Geometry((10, 10, 10), far), tolerance_mm=0.1)


def test_corners_are_centers_of_the_outer_voxels() -> None:
    grid = Geometry((2, 3, 4), np.diag([2.0, 1.0, 1.0, 1.0]))
    assert grid.corners_mm().max(axis=0).tolist() == [2, 2, 3]
    assert grid.corners_mm(edges=True).min(axis=0).tolist() == [-1, -0.5, -0.5]
