"""A study in any storage order, rotation and voxel size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume


@pytest.fixture
def restore() -> Callable[..., Study]:
    """Stores the same study in another order: `axes` permuted, then `flips` reversed; exact."""

    def stored(volume: Volume, axes: tuple[int, ...], flips: tuple[int, ...]) -> Volume:
        data, affine = volume.data.transpose(axes), volume.affine[:, [*axes, 3]]
        for axis, flip in enumerate(flips):
            if flip:
                data = np.flip(data, axis)
                affine[:3, 3] += (data.shape[axis] - 1) * affine[:3, axis]
                affine[:3, axis] *= -1
        # As a file would keep it: single precision, contiguous.
        return Volume(np.ascontiguousarray(data), affine.astype(np.float32))

    def make(study: Study, axes: tuple[int, ...], flips: tuple[int, ...]) -> Study:
        return Study({name: stored(volume, axes, flips) for name, volume in study.volumes.items()}, study.name)

    return make


@pytest.fixture
def resample_volume() -> Callable[..., Volume]:
    """Resamples a skull-stripped volume (by explicit world coordinates) onto a grid about the same center.

    Options: `degrees` about the three axes, `spacing_mm`, `shape`, `left_handed`.
    """

    def make(
        volume: Volume,
        *,
        degrees: tuple[float, float, float] = (0, 0, 0),
        spacing_mm: tuple[float, float, float] = (1, 1, 1),
        shape: tuple[int, int, int] = (44, 44, 44),
        left_handed: bool = False,
    ) -> Volume:
        turn = np.eye(3)
        for axis, angle in enumerate(np.deg2rad(degrees)):
            one, other = [index for index in range(3) if index != axis]
            step = np.eye(3)
            step[one, one] = step[other, other] = np.cos(angle)
            step[one, other], step[other, one] = -np.sin(angle), np.sin(angle)
            turn = step @ turn
        affine = np.eye(4)
        affine[:3, :3] = turn * spacing_mm
        if left_handed:
            affine[:3, 0] *= -1
        middle = volume.affine @ [*((np.array(volume.shape) - 1) / 2), 1]
        affine[:3, 3] = middle[:3] - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
        index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1)
        to_source = np.linalg.inv(volume.affine) @ affine
        places = to_source[:3, :3] @ index + to_source[:3, 3:]
        data = map_coordinates(volume.data, places, order=1, cval=0)
        stripped = map_coordinates(volume.data > 0, places, order=0, cval=0)  # linear alone would blur the rim
        return Volume(np.where(stripped, data, 0).reshape(shape).astype(np.float32), affine)

    return make
