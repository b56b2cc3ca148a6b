"""Onto the network's grid from interpolated, oblique, partial and unusual input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from magpie_core.imaging.modality import Modality
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing.model_grid import ModelGridStudy, resample_to_model_grid

T1, T1CE, T2, FLAIR = Modality.T1, Modality.T1CE, Modality.T2, Modality.FLAIR


def at_world(grid: ModelGridStudy, place_mm: np.ndarray) -> tuple[int, ...]:
    """Index of the model grid voxel at a place."""
    index = np.linalg.inv(grid.affine) @ [*place_mm, 1]
    return tuple(int(round(value)) for value in index[:3])


def agreement(one: ModelGridStudy, other: ModelGridStudy) -> tuple[float, list[float]]:
    """Dice of the brains and, away from their rim, the correlation of each image, voxel by voxel in the world."""
    offset = np.round((other.affine[:3, 3] - one.affine[:3, 3]) / one.spacing_mm).astype(int)
    start = np.maximum(offset, 0)
    stop = np.minimum(one.brain.shape, offset + other.brain.shape)
    here = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    there = tuple(slice(a, b) for a, b in zip(start - offset, stop - offset, strict=True))
    both = one.brain[here] & other.brain[there]
    overlap = 2 * both.sum() / (one.brain.sum() + other.brain.sum())
    both = binary_erosion(both, iterations=2)  # interpolation mixes the rim with the background
    pairs = zip(one.images, other.images, strict=True)
    return overlap, [np.corrcoef(a[here][both], b[there][both])[0, 1] for a, b in pairs]


def test_the_result_is_cut_to_the_brain_scaled_and_placed_in_the_world(make_study) -> None:
    study = make_study()
    grid = resample_to_model_grid(study)
    assert grid.modalities == (T1, T1CE, T2, FLAIR)
    assert grid.images.shape == (4, *grid.brain.shape)
    assert grid.images.dtype == np.float32
    assert (grid.images[:, ~grid.brain] == 0).all()
    assert grid.images[:, grid.brain].mean(axis=1) == pytest.approx(0, abs=1e-3)
    assert (np.diag(grid.affine) == 1).all()
    for axis in range(3):
        line = grid.brain.any(axis=tuple({0, 1, 2} - {axis}))
        assert line[1:-1].all(), "no more than the brain"
        assert not line[[0, -1]].any(), "a margin of one voxel"
    assert grid.native.matches(study.volumes[T1CE].geometry)
    # In the middle of the bright lesion.
    center = study.volumes[T1].affine @ [9, 19, 12, 1]
    assert grid.images[0][at_world(grid, center[:3])] > 1


@pytest.mark.parametrize("spacing_mm", [0.9375, 1.3])
@pytest.mark.parametrize(("axes", "flips"), [((2, 0, 1), (1, 0, 1)), ((1, 0, 2), (0, 0, 1)), ((0, 2, 1), (1, 1, 1))])
def test_storage_orders_where_voxels_are_interpolated(axes, flips, spacing_mm, make_study, restore) -> None:
    study = make_study(T1CE, FLAIR, spacing_mm=spacing_mm)
    expected, grid = resample_to_model_grid(study), resample_to_model_grid(restore(study, axes, flips))
    assert grid.images == pytest.approx(expected.images, abs=1e-4)
    assert np.array_equal(grid.brain, expected.brain)
    assert np.allclose(grid.affine, expected.affine)


def test_storage_orders_of_an_oblique_study(make_study, restore, resample_volume) -> None:
    volumes = make_study(T1CE, FLAIR).volumes
    oblique = Study({name: resample_volume(v, degrees=(15, -10, 25)) for name, v in volumes.items()}, "a")
    expected, grid = (resample_to_model_grid(oblique), resample_to_model_grid(restore(oblique, (2, 0, 1), (1, 0, 1))))
    assert grid.images == pytest.approx(expected.images, abs=1e-3)


@pytest.mark.parametrize("left_handed", [False, True])
@pytest.mark.parametrize("degrees", [(0, 0, 0), (12, -8, 20), (40, 35, -30)])
def test_an_oblique_or_left_handed_study_shows_the_same_in_the_world(
    degrees, left_handed, make_study, resample_volume
) -> None:
    study = make_study(T1CE, FLAIR, shape=(40, 44, 36))
    options = {"degrees": degrees, "left_handed": left_handed, "shape": (60, 60, 60)}
    turned = Study({name: resample_volume(v, **options) for name, v in study.volumes.items()}, "a")
    overlap, correlations = agreement(resample_to_model_grid(study), resample_to_model_grid(turned))
    assert overlap > 0.95
    assert min(correlations) > 0.95


def test_modalities_on_different_grids_meet_in_the_world(make_study, resample_volume) -> None:
    study = make_study(T1CE, FLAIR, shape=(40, 44, 36))
    options = {"spacing_mm": (0.8, 0.8, 2.0), "shape": (60, 60, 22), "degrees": (0, 0, 10)}
    mixed = Study({**study.volumes, FLAIR: resample_volume(study.volumes[FLAIR], **options)}, "a")
    overlap, correlations = agreement(resample_to_model_grid(study), resample_to_model_grid(mixed))
    assert overlap > 0.95
    assert correlations[0] > 0.99
    assert correlations[1] > 0.95


def test_coarser_grids_average_instead_of_skipping(make_study) -> None:
    volume = make_study(T1).volumes[T1]
    chess = np.indices(volume.shape).sum(axis=0) % 2
    noisy = Volume(np.where(volume.data > 0, volume.data + 200 * chess, 0).astype(np.float32), volume.affine)
    fine, coarse = (resample_to_model_grid(Study({T1: one}, "a"), spacing_mm=2) for one in (volume, noisy))
    assert fine.spacing_mm == 2
    deep = fine.brain & (np.abs(fine.images[0]) < 1.5)
    assert np.corrcoef(fine.images[0][deep], coarse.images[0][deep])[0, 1] > 0.95


def test_an_oblique_study_is_averaged_too(make_study, resample_volume) -> None:
    volume = resample_volume(make_study(T1).volumes[T1], degrees=(5, 5, 5))
    chess = np.indices(volume.shape).sum(axis=0) % 2
    noisy = Volume(np.where(volume.data > 0, volume.data + 200 * chess, 0).astype(np.float32), volume.affine)
    fine, coarse = (resample_to_model_grid(Study({T1: one}, "a"), spacing_mm=2) for one in (volume, noisy))
    deep = fine.brain & (np.abs(fine.images[0]) < 1.5)
    assert np.corrcoef(fine.images[0][deep], coarse.images[0][deep])[0, 1] > 0.9


def test_the_lattice_passes_through_the_reference_or_through_multiples_of_the_voxel_size(make_volume) -> None:
    affine = np.diag([-1.0, -1, 1, 1])
    affine[:3, 3] = (10.4, 20, 5.25)
    same = resample_to_model_grid(Study({T1: make_volume(affine=affine)}, "a"))
    assert np.mod(same.affine[:3, 3], 1) == pytest.approx((0.4, 0, 0.25))
    other = resample_to_model_grid(Study({T1: make_volume(affine=affine)}, "a"), spacing_mm=1.5)
    assert np.mod(other.affine[:3, 3] / 1.5 + 1e-6, 1) == pytest.approx(0, abs=1e-5)


def test_padding_around_the_image_changes_nothing(make_study) -> None:
    study = make_study(T1CE, FLAIR)

    def padded(volume: Volume) -> Volume:
        affine = volume.affine.copy()
        affine[:3, 3] -= affine[:3, :3] @ (5, 3, 9)
        return Volume(np.pad(volume.data, ((5, 7), (3, 2), (9, 1))), affine)

    large = Study({name: padded(volume) for name, volume in study.volumes.items()}, "a")
    assert np.array_equal(resample_to_model_grid(large).images, resample_to_model_grid(study).images)


def test_a_background_other_than_zero(make_study) -> None:
    study = make_study(T1CE, FLAIR)
    moved = Study({name: Volume(v.data - 500, v.affine) for name, v in study.volumes.items()}, "a")
    assert resample_to_model_grid(moved).images == pytest.approx(resample_to_model_grid(study).images, abs=1e-3)


def test_the_brain_is_what_any_modality_shows(make_study) -> None:
    study = make_study(T1CE, FLAIR)
    study.volumes[FLAIR].data[:, :, :12] = 0
    assert np.array_equal(resample_to_model_grid(study).brain, resample_to_model_grid(make_study(T1CE, FLAIR)).brain)


def test_a_slab_is_judged_by_what_it_covers(make_study) -> None:
    study = make_study(T1CE, FLAIR)
    flair = study.volumes[FLAIR]
    shift = np.eye(4)
    shift[2, 3] = 10
    slab = Study({**study.volumes, FLAIR: Volume(flair.data[:, :, 10:], flair.affine @ shift)}, "a")
    image = resample_to_model_grid(slab).images[1]
    covered = image != 0
    assert covered.any()
    assert not covered.all(axis=(0, 1)).any()
    assert image[covered].mean() == pytest.approx(0, abs=1e-3)
    assert image[covered].std() == pytest.approx(1, abs=1e-2)


def test_a_given_brain_mask_is_used(make_study) -> None:
    study = make_study(T1CE, FLAIR)
    volume = study.volumes[T1CE]
    mask = np.zeros(volume.shape, np.uint8)
    mask[8:20, 8:24, 6:18] = 1
    grid = resample_to_model_grid(study, brain=Volume(mask, volume.affine))
    assert grid.brain.sum() == mask.sum()
    assert grid.brain.shape == (14, 18, 14)


def test_the_study_is_left_as_it_was(make_study) -> None:
    study = make_study()
    before = {name: volume.data.copy() for name, volume in study.volumes.items()}
    resample_to_model_grid(study, spacing_mm=1.5)
    assert all((study.volumes[name].data == data).all() for name, data in before.items())
