"""Orthogonal slices are in radiological convention, whatever the storage order."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from magpie_core.imaging.volume import Volume
from magpie_core.report.orthogonal_slices import EDGE_LETTERS, Box, OrthogonalSlices, content_box, largest_slices

SHAPE, SPACING = (9, 11, 13), (1.0, 1.5, 3.0)
ORIENTATIONS = [(axes, signs) for axes in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def ras_volume() -> Volume:
    """A volume in R, A, S order with one bright voxel in the right, anterior, superior corner region."""
    data = np.zeros(SHAPE, np.float32)
    data[7, 9, 11] = 1.0
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-4, -7, -20)
    return Volume(data, affine)


def reordered(volume: Volume, axes: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """The same image with other voxel axes."""
    data = np.transpose(volume.data, axes)
    affine = np.eye(4)
    affine[:3, :3] = volume.affine[:3, list(axes)]
    affine[:3, 3] = volume.affine[:3, 3]
    for axis, sign in enumerate(signs):
        if sign < 0:
            data = np.flip(data, axis)
            affine[:3, 3] += affine[:3, axis] * (data.shape[axis] - 1)
            affine[:3, axis] *= -1
    return Volume(np.ascontiguousarray(data), affine)


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_every_storage_order_gives_the_same_slices(axes, signs):
    volume = ras_volume()
    slices, other = OrthogonalSlices(volume), reordered(volume, axes, signs)
    turned = OrthogonalSlices(other)
    assert turned.shape == slices.shape == SHAPE
    np.testing.assert_allclose(turned.affine, slices.affine, atol=1e-9)
    np.testing.assert_array_equal(turned.reorient(other.data), volume.data)


@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS[::7])
def test_a_world_point_is_found_on_the_display(view, axes, signs):
    volume = reordered(ras_volume(), axes, signs)
    slices = OrthogonalSlices(volume)
    box = Box((2, 1, 3), (8, 10, 12))
    place = ras_volume().affine[:3, :3] @ (7, 9, 11) + ras_volume().affine[:3, 3]
    shown = slices.sample(volume, view, slices.index_at(view, place), box)
    ((row, column),) = np.argwhere(shown > 0.5)
    pixel_mm = np.divide(slices.size_mm(view, box), shown.shape[::-1])
    np.testing.assert_allclose(slices.on_display(place[None], view, box)[0], (np.array([column, row]) + 0.5) * pixel_mm)


@pytest.mark.parametrize(
    ("view", "index", "row", "column"), [("axial", 11, 1, 1), ("coronal", 9, 1, 1), ("sagittal", 7, 1, 1)]
)
def test_right_is_left_and_anterior_or_superior_is_up(view, index, row, column):
    slices = OrthogonalSlices(ras_volume())
    box = Box((0, 0, 0), tuple(size - 1 for size in SHAPE))
    shown = slices.extract(slices.reorient(ras_volume().data), view, index, box)
    assert np.argwhere(shown).tolist() == [[row, column]]  # near the top, near the left
    left, right, top, bottom = EDGE_LETTERS[view]
    assert (left, top) == {"axial": ("R", "A"), "coronal": ("R", "S"), "sagittal": ("A", "S")}[view]
    assert {left, right} in ({"R", "L"}, {"A", "P"}) and {top, bottom} in ({"A", "P"}, {"S", "I"})


@pytest.mark.parametrize("view", ["axial", "coronal", "sagittal"])
def test_sampling_the_own_grid_equals_extracting_the_slice(view):
    volume = Volume(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), ras_volume().affine)
    other = reordered(volume, (2, 0, 1), (1, -1, -1))
    slices, box = OrthogonalSlices(volume), Box((0, 1, 2), (8, 10, 12))
    expected = slices.extract(volume.data, view, 5, box)
    np.testing.assert_allclose(slices.sample(volume, view, 5, box), expected, atol=1e-5)
    np.testing.assert_allclose(slices.sample(other, view, 5, box), expected, atol=1e-5)


def test_another_grid_is_resampled_by_world_coordinates():
    volume = ras_volume()
    coarse = np.diag([2.0, 2.0, 2.0, 1.0])
    coarse[:3, 3] = (-10, -10, -20)
    x, y, z = np.meshgrid(*(np.arange(20),) * 3, indexing="ij")
    ramp = Volume((coarse[0, 3] + 2.0 * x + 0 * y + 0 * z).astype(np.float32), coarse)
    slices, box = OrthogonalSlices(volume), Box((0, 0, 0), (8, 10, 12))
    shown = slices.sample(ramp, "axial", 6, box)
    world_x = volume.affine[0, 3] + np.arange(9)[::-1]
    np.testing.assert_allclose(shown, np.broadcast_to(world_x, shown.shape), atol=1e-4)


def test_size_follows_the_voxel_size():
    slices = OrthogonalSlices(ras_volume())
    width, height = slices.size_mm("coronal", Box((0, 0, 0), (8, 10, 12)))
    assert (width, height) == pytest.approx((9 * 1.0, 13 * 3.0))


def test_the_slice_with_most_tumor_is_chosen():
    mask = np.zeros((20, 20, 20), bool)
    mask[5:9, 5:15, 10] = True
    mask[5:9, 5:8, 11] = True
    chosen = largest_slices(mask, np.array([10.0, 10.0, 10.0]))
    assert chosen["axial"] == 10 and 5 <= chosen["sagittal"] <= 8 and 5 <= chosen["coronal"] < 8


def test_position_is_named_as_a_slice_viewer_names_it():
    slices = OrthogonalSlices(ras_volume())
    assert slices.position("axial", 0) == "I 20 mm"
    assert slices.position("coronal", 10) == "A 8 mm"
    assert slices.position("sagittal", 0) == "L 4 mm"


def test_an_oblique_grid_has_no_position():
    angle = np.deg2rad(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    slices = OrthogonalSlices(Volume(np.zeros(SHAPE, np.float32), turn @ np.diag([1.0, 1.0, 1.0, 1.0])))
    assert slices.position("axial", 3) == ""


def test_content_box_holds_bright_voxels_and_the_mask():
    image = np.zeros((40, 40, 40), np.float32)
    image[10:30, 12:28, 14:26] = 100.0
    mask = np.zeros(image.shape, bool)
    mask[5, 20, 20] = True
    box = content_box(image, mask, np.ones(3), margin_mm=2.0)
    assert box == Box((3, 10, 12), (31, 29, 27))


def test_content_box_of_an_empty_image_is_the_whole_grid():
    empty = np.zeros((8, 9, 10), np.float32)
    assert content_box(empty, empty > 0, np.ones(3)) == Box((0, 0, 0), (7, 8, 9))
