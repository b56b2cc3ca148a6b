"""Rigid registration of two images of one head, in world coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing.itk import itk_image, limit_threads, mattes_registration, simpleitk, world_matrix

_COARSE_MM = 4.0
_FINE_MM = 2.0
_TURN_DEG = 15.0
_TRIED = 4  # starts that are followed at the coarse level
_SAMPLES = 60_000
_NOTHING = 1e-6  # nats: the images do not overlap, or one of them is empty
_HEAD_RADIUS_MM = 80.0  # makes a turn as long as the way it moves the head's edge


@dataclass(frozen=True, eq=False)
class Registration:
    """How to move one image onto another.

    Attributes:
        matrix: (4, 4), rigid: world place of the moving image as stored -> its place in the fixed image's world, RAS
            mm.
        similarity: Mutual information at the end, in nats.
        sharpness: Share of it that is lost by a shift of 10 mm to any side: near 0 where there is nothing to hold on
            to.
        gain: Share by which mutual information rose over that of the images' own places in the world.
        agreement_mm: How far a second start ended from the first, at the edge of the head.
        center_mm: The middle of the head in the fixed image's world, where a shift is measured.
    """

    matrix: np.ndarray
    similarity: float
    sharpness: float
    gain: float
    agreement_mm: float
    center_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def shift_mm(self) -> float:
        """How far the middle of the head moves."""
        center = np.array(self.center_mm)
        moved = np.linalg.inv(self.matrix)[:3] @ np.append(center, 1.0)
        return float(np.linalg.norm(moved - center))

    @property
    def rotation_deg(self) -> float:
        """Angle of the rotation."""
        return math.degrees(math.acos(np.clip((np.trace(self.matrix[:3, :3]) - 1) / 2, -1, 1)))


def register(moving: Volume, fixed: Volume, *, threads: int | None = None) -> Registration:
    """Find the rigid motion between two images of one head, whatever their modalities and grids.

    Mutual information is climbed from several starts: the images' own places in the world and their centers of mass,
    each also turned by 15 degrees about every axis.

    Raises:
        ResourceError: If SimpleITK is not installed.
    """
    itk = simpleitk()
    with limit_threads(itk, threads):
        return _register(itk, moving, fixed)


def _register(itk: Any, moving: Volume, fixed: Volume) -> Registration:
    images = {mm: (itk_image(itk, fixed, mm), itk_image(itk, moving, mm)) for mm in (_COARSE_MM, _FINE_MM)}
    coarse = _Matcher(itk, *images[_COARSE_MM])
    scored = sorted((coarse.value(start), index, start) for index, start in enumerate(_starts(itk, coarse)))
    climbed = sorted(
        ((*coarse.climb(start, step_mm=2.0), index) for _, index, start in scored[:_TRIED]),
        key=lambda result: result[0],
    )
    fine = _Matcher(itk, *images[_FINE_MM])
    final = sorted((fine.climb(transform, step_mm=0.5) for _, transform, _ in climbed[:2]), key=lambda r: r[0])
    value, transform = final[0]
    found = value < -_NOTHING
    matrix = world_matrix(transform)
    center = np.array(fine.center) * (-1, -1, 1)  # LPS to RAS
    return Registration(
        matrix=np.linalg.inv(matrix),
        similarity=-value,
        gain=1 - fine.value(itk.Euler3DTransform()) / value if found else 0.0,
        sharpness=1 - fine.around(transform, 10.0) / value if found else 0.0,
        agreement_mm=_apart_mm(matrix, world_matrix(final[1][1]), center),
        center_mm=(float(center[0]), float(center[1]), float(center[2])),
    )


class _Matcher:
    """Mutual information of two images at one resolution, in the manner of Mattes."""

    def __init__(self, itk: Any, fixed: Any, moving: Any) -> None:
        self._itk, self.fixed, self.moving = itk, fixed, moving
        self._mask = _head_mask(itk, fixed)
        self.center = _center_of_mass(itk, fixed)
        self.moving_center = _center_of_mass(itk, moving)

    def _method(self) -> Any:
        return mattes_registration(self._itk, self.fixed, self._mask, samples=_SAMPLES)

    def value(self, transform: Any) -> float:
        """The negative mutual information; 0 where the images do not overlap."""
        method = self._method()
        method.SetInitialTransform(transform)
        try:
            return float(method.MetricEvaluate(self.fixed, self.moving))
        except RuntimeError:
            return 0.0

    def climb(self, transform: Any, *, step_mm: float) -> tuple[float, Any]:
        method = self._method()
        # Line searches get over the small steps that sampling makes in the measure, where gradients get stuck.
        method.SetOptimizerAsPowell(
            numberOfIterations=10, maximumLineIterations=20, stepLength=step_mm, stepTolerance=0.02, valueTolerance=1e-5
        )
        method.SetOptimizerScales([_HEAD_RADIUS_MM] * 3 + [1.0] * 3)
        start = self._itk.Euler3DTransform(transform)
        method.SetInitialTransform(start, inPlace=True)
        try:
            method.Execute(self.fixed, self.moving)
        except RuntimeError:
            return 0.0, transform
        return self.value(start), start

    def around(self, transform: Any, shift_mm: float) -> float:
        """Mean value after shifts to all six sides."""
        values = []
        for axis, sign in product(range(3), (-1, 1)):
            moved = self._itk.Euler3DTransform(transform)
            shift = list(moved.GetTranslation())
            shift[axis] += sign * shift_mm
            moved.SetTranslation(shift)
            values.append(self.value(moved))
        return float(np.mean(values))


def _starts(itk: Any, matcher: _Matcher) -> list[Any]:
    turns = [np.zeros(3)]
    turns += [sign * math.radians(_TURN_DEG) * np.eye(3)[axis] for axis, sign in product(range(3), (-1, 1))]
    between = [b - a for a, b in zip(matcher.center, matcher.moving_center, strict=True)]
    starts = []
    for shift, turn in product(((0.0, 0.0, 0.0), tuple(between)), turns):
        transform = itk.Euler3DTransform()
        transform.SetCenter(matcher.center)
        transform.SetRotation(*turn.tolist())
        transform.SetTranslation(shift)
        starts.append(transform)
    return starts


def _head_mask(itk: Any, image: Any) -> Any:
    """Where there is tissue, and 10 mm around: air far from the head tells nothing."""
    data = itk.GetArrayViewFromImage(image)
    low, high = np.percentile(data, (2, 99))
    mask = itk.Cast(image > float(low + 0.08 * (high - low)), itk.sitkUInt8)
    radius = [max(1, round(10.0 / size)) for size in image.GetSpacing()]
    return itk.BinaryDilate(mask, radius)


def _center_of_mass(itk: Any, image: Any) -> tuple[float, float, float]:
    data = itk.GetArrayViewFromImage(image).astype(np.float64)
    low, high = np.percentile(data, (2, 99))
    weights = data > low + 0.1 * (high - low)
    if not weights.any():
        weights = np.ones_like(weights)
    index = [float(axis.mean()) for axis in np.nonzero(weights)][::-1]
    x, y, z = image.TransformContinuousIndexToPhysicalPoint(index)
    return x, y, z


def _apart_mm(one: np.ndarray, other: np.ndarray, center: np.ndarray) -> float:
    """Largest distance between what two matrices make of points at the edge of a head."""
    points = np.vstack([center + _HEAD_RADIUS_MM * side * np.eye(3)[axis] for axis in range(3) for side in (-1, 1)])
    points = np.hstack([points, np.ones((6, 1))])
    return float(np.linalg.norm((points @ (one - other).T)[:, :3], axis=1).max())
