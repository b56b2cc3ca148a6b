"""Back from the network's grid."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.study import Study
from magpie_core.preprocessing.model_grid import resample_to_model_grid, to_native

T1CE, FLAIR = Modality.T1CE, Modality.FLAIR


def lesion(study: Study) -> np.ndarray:
    """The bright part of the phantom on its native grid."""
    data = study.volumes[T1CE].data
    return data > 0.75 * data.max()


@pytest.mark.parametrize("flips", list(product([0, 1], repeat=3)))
@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_there_and_back_in_all_48_storage_orders(axes, flips, make_study, restore) -> None:
    study = restore(make_study(T1CE), axes, flips)
    grid = resample_to_model_grid(study)
    back = to_native(np.stack([grid.brain, grid.images[0]]).astype(np.float32), grid)
    assert back.shape == (2, *study.volumes[T1CE].shape)
    assert back.dtype == np.float32
    inside = study.volumes[T1CE].data > 0
    assert np.array_equal(back[0] > 0.5, inside)
    assert np.corrcoef(back[1][inside], study.volumes[T1CE].data[inside])[0, 1] > 0.999


@pytest.mark.parametrize("spacing_mm", [(1, 1, 1), (0.7, 0.7, 1.5)])
@pytest.mark.parametrize("degrees", [(0, 0, 0), (12, -8, 20)])
@pytest.mark.parametrize("left_handed", [False, True])
def test_a_region_comes_back_to_its_place(degrees, left_handed, spacing_mm, make_study, resample_volume) -> None:
    volume = make_study(T1CE, shape=(40, 44, 36)).volumes[T1CE]
    options = {"degrees": degrees, "left_handed": left_handed, "spacing_mm": spacing_mm, "shape": (70, 70, 44)}
    study = Study({T1CE: resample_volume(volume, **options)}, "a")
    grid = resample_to_model_grid(study)
    back = to_native((grid.images > 1.5).astype(np.float32), grid)[0] > 0.5
    there = to_native(grid.images, grid)[0] > 1.5
    assert 2 * (back & there).sum() / (back.sum() + there.sum()) > 0.8
    brain = to_native(grid.brain[None].astype(np.float32), grid)[0] > 0.5
    inside = study.volumes[T1CE].data > 0.5 * np.median(volume.data[volume.data > 0])
    assert 2 * (brain & inside).sum() / (brain.sum() + inside.sum()) > 0.97


def test_a_linear_field_comes_back_exactly_wherever_it_is_sampled(make_study) -> None:
    grid = resample_to_model_grid(make_study(T1CE))
    places = np.indices(grid.brain.shape).reshape(3, -1).T @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    field = (places @ (0.3, -0.2, 0.5) + 40).reshape(1, *grid.brain.shape).astype(np.float32)
    angle = np.deg2rad(17)
    affine = np.eye(4)
    affine[:3, :3] = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    affine[:3, :3] *= (0.6, -0.7, 0.8)
    affine[:3, 3] = grid.affine[:3, 3] + (8, 12, 6)
    for matrix in (affine, np.array(np.diag([0.6, -0.7, 0.8, 1]) + [[0, 0, 0, p] for p in (*affine[:3, 3], 0)])):
        target = Geometry((6, 7, 8), matrix)
        back = to_native(field, grid, target)[0]
        index = np.indices(target.shape).reshape(3, -1)
        world = matrix[:3, :3] @ index + matrix[:3, 3:]
        expected = (np.array((0.3, -0.2, 0.5)) @ world + 40).reshape(target.shape)
        assert back == pytest.approx(expected, abs=2e-3)


def test_it_is_zero_beyond_the_working_grid(make_study) -> None:
    grid = resample_to_model_grid(make_study(T1CE))
    ones = np.ones((1, *grid.brain.shape), np.float32)
    back = to_native(ones, grid)[0]
    corner = grid.geometry.corners_mm(edges=True)
    index = np.indices(back.shape).reshape(3, -1)
    world = (grid.native.affine[:3, :3] @ index + grid.native.affine[:3, 3:]).T
    outside = ((world < corner.min(axis=0)) | (world > corner.max(axis=0))).any(axis=1).reshape(back.shape)
    assert (back[outside] == 0).all()
    assert (back[~outside] == 1).all()


def test_a_grid_elsewhere_stays_empty(make_study) -> None:
    grid = resample_to_model_grid(make_study(T1CE))
    far = np.eye(4)
    far[:3, 3] = 500
    ones = np.ones((2, *grid.brain.shape), np.float32)
    back = to_native(ones, grid, Geometry((5, 6, 7), far))
    assert back.shape == (2, 5, 6, 7)
    assert not back.any()


def test_thick_slices_get_the_mean_of_what_they_cover(make_study) -> None:
    grid = resample_to_model_grid(make_study(T1CE))
    stripes = np.zeros((1, *grid.brain.shape), np.float32)
    stripes[..., ::2] = 1
    affine = grid.affine.copy()
    affine[2, 2] = 4
    affine[:3, 3] += (3, 3, 5)
    back = to_native(stripes, grid, Geometry((4, 4, 3), affine))
    assert back == pytest.approx(0.5, abs=0.05)


def test_half_precision_is_accepted(make_study) -> None:
    grid = resample_to_model_grid(make_study(T1CE))
    back = to_native(grid.images.astype(np.float16), grid)
    assert back.dtype == np.float32
    assert np.isfinite(back).all()
