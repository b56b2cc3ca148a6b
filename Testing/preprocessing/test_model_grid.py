"""The model grid: the same for every way of storing a study."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from magpie_core.errors import InputError
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Geometry, Volume
from magpie_core.preprocessing.model_grid import resample_to_model_grid, to_native

ORDERS = [(axes, flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)]


def oblique(volume: Volume, *, left_handed: bool) -> Volume:
    """The volume on a turned, larger grid with the same voxel size (nearest neighbor, so that its rim stays)."""
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    if left_handed:
        turn = turn @ np.diag([-1, 1, 1])
    side = int(np.linalg.norm(volume.shape))
    center = volume.affine[:3, :3] @ ((np.array(volume.shape) - 1) / 2) + volume.affine[:3, 3]
    affine = np.eye(4)
    affine[:3, :3] = turn
    affine[:3, 3] = center - turn @ np.full(3, (side - 1) / 2)
    matrix = np.linalg.inv(volume.affine) @ affine
    data = affine_transform(volume.data, matrix[:3, :3], matrix[:3, 3], output_shape=(side,) * 3, order=0)
    return Volume(data, affine)


@pytest.mark.parametrize(("axes", "flips"), ORDERS)
def test_all_48_storage_orders_give_the_same_working_study(make_study, restore, axes, flips):
    study = make_study()
    expected = resample_to_model_grid(study)
    variant = resample_to_model_grid(restore(study, axes, flips))
    assert np.allclose(variant.affine, expected.affine)
    assert variant.modalities == expected.modalities
    assert np.array_equal(variant.brain, expected.brain)
    np.testing.assert_allclose(variant.images, expected.images, atol=1e-5)


def test_images_are_scaled_inside_the_brain_and_zero_outside(make_study):
    grid = resample_to_model_grid(make_study())
    for image in grid.images:
        assert abs(image[grid.brain].mean()) < 0.05
        assert image[grid.brain].std() == pytest.approx(1, abs=0.05)
        assert not image[~grid.brain].any()


@pytest.mark.parametrize("left_handed", [False, True])
def test_an_oblique_study_lands_in_the_same_place(make_study, left_handed):
    study = make_study(shape=(56, 64, 48))
    straight = resample_to_model_grid(study)
    turned = Study({n: oblique(v, left_handed=left_handed) for n, v in study.volumes.items()}, "turned")
    grid = resample_to_model_grid(turned)
    back = to_native(grid.brain[None].astype(np.float32), grid, straight.geometry)[0] > 0.5
    overlap = 2 * (back & straight.brain).sum() / (back.sum() + straight.brain.sum())
    assert overlap > 0.95


def test_modalities_on_different_grids_meet_in_the_world(make_study, restore):
    study = make_study()
    first, *others = study.volumes
    moved = dict(study.volumes)
    moved[first] = restore(study, (2, 0, 1), (True, False, True)).volumes[first]
    expected, grid = resample_to_model_grid(study), resample_to_model_grid(Study(moved, "mixed"))
    assert others and np.allclose(grid.images, expected.images, atol=1e-4)


def test_a_coarser_grid_keeps_the_mean_and_has_fewer_voxels(make_study):
    study = make_study(shape=(56, 64, 48))
    fine, coarse = resample_to_model_grid(study), resample_to_model_grid(study, spacing_mm=2.0)
    assert coarse.spacing_mm == 2.0
    ratio = coarse.brain.sum() * 8 / fine.brain.sum()
    assert 0.9 < ratio < 1.1


def test_a_study_without_a_brain_is_refused(make_study):
    study = make_study()
    empty = {name: Volume(np.zeros_like(v.data), v.affine) for name, v in study.volumes.items()}
    with pytest.raises(InputError, match="brain"):
        resample_to_model_grid(Study(empty, "empty"))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.9, 1.3, 3.0)])
def test_a_field_comes_back_by_world_coordinates(make_study, spacing):
    study = make_study()
    grid = resample_to_model_grid(study)
    lines = np.indices(grid.brain.shape).reshape(3, -1)
    world = grid.affine[:3, :3] @ lines + grid.affine[:3, 3:]
    field = (0.5 * world[0] - 0.2 * world[1] + world[2]).reshape(1, *grid.brain.shape).astype(np.float32)
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    # Voxels well inside the model grid, stored left-handed.
    middle = grid.affine[:3, :3] @ (np.array(grid.brain.shape) / 2) + grid.affine[:3, 3]
    affine[:3, 3] = middle - affine[:3, :3] @ np.array([3, 3, 1])
    native = to_native(field, grid, Geometry((7, 7, 3), affine))[0]
    places = np.indices(native.shape).reshape(3, -1)
    there = affine[:3, :3] @ places + affine[:3, 3:]
    expected = (0.5 * there[0] - 0.2 * there[1] + there[2]).reshape(native.shape)
    np.testing.assert_allclose(native, expected, atol=0.03)  # of a millimeter


def test_beyond_the_working_grid_there_is_nothing(make_study):
    grid = resample_to_model_grid(make_study())
    affine = np.eye(4)
    affine[:3, 3] = 500
    native = to_native(np.ones((1, *grid.brain.shape), np.float32), grid, Geometry((4, 4, 4), affine))
    assert not native.any()


@pytest.mark.parametrize(("axes", "flips"), ORDERS[::7])
def test_a_mask_survives_the_way_there_and_back(make_study, restore, axes, flips):
    study = restore(make_study(), axes, flips)
    grid = resample_to_model_grid(study)
    native = to_native(grid.brain[None].astype(np.float32), grid)[0] > 0.5
    content = study.volumes[study.reference].data != 0
    assert 2 * (native & content).sum() / (native.sum() + content.sum()) > 0.98
