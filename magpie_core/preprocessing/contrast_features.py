"""Numbers that tell what kind of image a brain is shown on: gray values, bright small structures, enhancement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.preprocessing.model_grid import ModelGridStudy

_PERCENTILES = (0.5, 1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5)
_TAILS = (0.1, 0.5, 1, 5, 10)
_DEPTHS_MM = (0, 3, 6, 12, 20, 99)
GRAY_VALUE_FEATURES = len(_PERCENTILES) + 2 + len(_DEPTHS_MM) - 1  # the first ones of a look
_GRID_MM = 2.0
_LEAST_VOXELS = 5000
_SMALL_MM = 5.0  # vessels, meninges and plexus vanish under a blur of this deviation; white matter does not
_SMALL_PERCENTILES = (1, 5, 50, 95, 99, 99.5)
_SURFACE_MM = 6.0
_RESIDUAL_TAILS = (0.3, 1, 3, 8)
_KNOTS = (2, 10, 25, 40, 55, 70, 85, 95, 99)
_BLURS = (0.7, 1.4, (2.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 2.0))  # voxels; thick slices of any direction
_FITTED_VOXELS = 12_000
_OUTLIER = 2.5  # robust standard deviations


@dataclass(frozen=True, eq=False)
class CoarseStudy:
    """The glioma modalities of a study on a grid of about 2 mm.

    Attributes:
        images: (D, H, W) float32 by modality, mean 0 and standard deviation 1 over the voxels it covers.
        covered: (D, H, W) bool by modality: the voxels of the brain that lie in its field of view.
        depth_mm: (D, H, W) float64, distance to the brain's surface.
        spacing_mm: Voxel size.
    """

    images: Mapping[Modality, np.ndarray]
    covered: Mapping[Modality, np.ndarray]
    depth_mm: np.ndarray
    spacing_mm: float

    @classmethod
    def of(cls, grid: ModelGridStudy) -> CoarseStudy:
        """Average a study over blocks of about 2 mm; an image of too few voxels is left out."""
        step = max(1, round(_GRID_MM / grid.spacing_mm))
        brain = _coarse(grid.brain.astype(np.float32), step) >= 0.99
        spacing_mm = grid.spacing_mm * step
        images, covered = {}, {}
        for modality, image in zip(grid.modalities, grid.images, strict=True):
            values = _coarse(image, step)
            inside = brain & (values != 0)
            if modality in GLIOMA_MODALITIES and np.count_nonzero(inside) >= _LEAST_VOXELS:
                mean, deviation = values[inside].mean(), values[inside].std()
                images[modality] = np.where(inside, (values - mean) / (deviation + 1e-6), 0)
                covered[modality] = inside
        return cls(images, covered, ndimage.distance_transform_edt(brain) * spacing_mm, spacing_mm)

    def look(self, modality: Modality) -> np.ndarray:
        """Describe one image: percentiles, moments, means by depth, and how its small structures stand out."""
        inside = self.covered[modality]
        values, depth_mm = self.images[modality][inside], self.depth_mm[inside]
        shells = []
        for low, high in zip(_DEPTHS_MM, _DEPTHS_MM[1:], strict=False):
            shell = (depth_mm > low) & (depth_mm <= high)
            shells.append(values[shell].mean() if shell.any() else 0.0)
        moments = [(values**3).mean(), (values**4).mean() / 10]
        return np.concatenate([np.percentile(values, _PERCENTILES), moments, shells, self._small(modality)])

    def difference(self, one: Modality, other: Modality) -> np.ndarray:
        """Describe the difference of two images: asymmetry of its tails, and skewness; negated if exchanged."""
        inside = self.covered[one] & self.covered[other]
        if not inside.any():
            return np.zeros(len(_TAILS) + 1)
        values = self.images[one][inside] - self.images[other][inside]
        low = np.percentile(values, _TAILS)
        high = np.percentile(values, [100 - percent for percent in _TAILS])
        skewness = ((values - values.mean()) ** 3).mean() / (values.std() + 1e-6) ** 3
        return np.append(low + high, skewness)

    def enhancement(self, plain: Sequence[Modality], contrasted: Modality) -> np.ndarray | None:
        """Describe what is brighter on an image than others predict, and what is darker.

        The image is predicted from gray values, blurred gray values and place of the others, which takes up other
        contrast, resolution and coil shading; vessels, meninges, choroid plexus and tumor rim are left over.

        Returns:
            np.ndarray: None if the images have too little in common.
        """
        inside = np.logical_and.reduce([self.covered[modality] for modality in (*plain, contrasted)])
        if np.count_nonzero(inside) < _LEAST_VOXELS:
            return None
        expected = self._predicted(plain, contrasted, inside)
        target = self.images[contrasted]
        residual = _masked_blur(np.where(inside, target - expected, 0), inside, 0.7)
        values, depth_mm = residual[inside], self.depth_mm[inside]
        middle = np.median(values)
        deviation = 1.4826 * np.median(np.abs(values - middle)) + 1e-3
        values = np.clip((values - middle) / deviation, -12, 12)
        described = [np.log(deviation), np.log(values.std()), (np.clip(values, -6, 6) ** 3).mean() / values.std() ** 3]
        for part in (values, values[depth_mm <= _SURFACE_MM], values[depth_mm > _SURFACE_MM]):
            low = -_percentiles(part, _RESIDUAL_TAILS).clip(max=-0.1)
            high = _percentiles(part, [100 - percent for percent in _RESIDUAL_TAILS]).clip(min=0.1)
            described += [*np.log(high / low), np.log(high[1])]
        for picked in (values >= np.percentile(values, 99), values <= np.percentile(values, 1)):
            described += [self.images[modality][inside][picked].mean() for modality in (contrasted, *plain)]
        return np.array(described)

    def similarity(self, one: Modality, other: Modality) -> float:
        """Return the fraction of the second image's variance that the first one's gray values explain; 0 if apart."""
        inside = self.covered[one] & self.covered[other]
        if np.count_nonzero(inside) < _LEAST_VOXELS:
            return 0.0
        step = max(1, np.count_nonzero(inside) // _FITTED_VOXELS)
        values, target = self.images[one][inside][::step], self.images[other][inside][::step]
        table = _piecewise_linear(values)
        rest = target - table @ np.linalg.lstsq(table, target, rcond=1e-5)[0]
        return float(1 - rest.var() / (target.var() + 1e-6))

    def _small(self, modality: Modality) -> np.ndarray:
        """How far small structures stand out: at the surface, in the depth; and how bright the brightest are."""
        image, inside = self.images[modality], self.covered[modality]
        local = (image - _masked_blur(image, inside, _SMALL_MM / self.spacing_mm))[inside]
        depth_mm = self.depth_mm[inside]
        described: list[float] = []
        for part in (depth_mm <= _SURFACE_MM, depth_mm > _SURFACE_MM):
            values = local[part]
            skewness = (np.clip(values, -4, 4) ** 3).sum() / max(1, values.size)
            described += [*_percentiles(values, _SMALL_PERCENTILES), skewness]
        bright = local >= np.percentile(local, 99)
        white = np.percentile(image[inside], 85)
        return np.array([*described, image[inside][bright].mean() - white, np.mean(depth_mm[bright] <= _SURFACE_MM)])

    def _predicted(self, plain: Sequence[Modality], contrasted: Modality, inside: np.ndarray) -> np.ndarray:
        """Predict an image from others by least squares that disregard outliers; (D, H, W), 0 outside."""
        place = np.argwhere(inside) / np.array(inside.shape) - 0.5
        columns = [place[:, axis] for axis in range(3)]
        columns += [place[:, axis] * place[:, other] for axis in range(3) for other in range(axis, 3)]
        for image in (self.images[modality] for modality in plain):
            values = image[inside]
            columns += list(_piecewise_linear(values).T)
            columns += [_masked_blur(image, inside, sigma)[inside] for sigma in _BLURS]
            columns += [place[:, axis] * values for axis in range(3)]
        table = np.stack(columns, axis=1).astype(np.float32)
        target = self.images[contrasted][inside]
        picked = np.arange(0, len(target), max(1, len(target) // _FITTED_VOXELS))
        for _ in range(3):
            weights = np.linalg.lstsq(table[picked], target[picked], rcond=1e-5)[0]
            rest = np.abs(target[picked] - table[picked] @ weights)
            picked = picked[rest <= _OUTLIER * 1.4826 * np.median(rest) + 1e-6]
        expected = np.zeros(inside.shape, np.float32)
        expected[inside] = table @ weights
        return expected


def _piecewise_linear(values: np.ndarray) -> np.ndarray:
    """Columns (N, K) whose sums are the piecewise linear functions of gray values (N,)."""
    knots = np.unique(np.percentile(values, _KNOTS))
    return np.stack([np.interp(values, knots, row) for row in np.eye(len(knots))], axis=1)


def _percentiles(values: np.ndarray, percentages: Sequence[float]) -> np.ndarray:
    """Percentiles, 0 if there is no value, as where a field of view holds no surface."""
    return np.asarray(np.percentile(values, percentages)) if values.size else np.zeros(len(percentages))


def _masked_blur(image: np.ndarray, inside: np.ndarray, sigma: float | tuple[float, ...]) -> np.ndarray:
    """Blur (sigma in voxels) what lies inside a mask, as if nothing lay outside of it."""
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma, truncate=3)
    blurred = ndimage.gaussian_filter(np.where(inside, image, 0).astype(np.float32), sigma, truncate=3)
    return np.asarray(blurred / np.maximum(weight, 1e-3))


def _coarse(image: np.ndarray, step: int) -> np.ndarray:
    """Means of blocks of `step` voxels a side."""
    if step == 1:
        return image
    even = image[tuple(slice(0, size - size % step) for size in image.shape)]
    depth, height, width = (size // step for size in even.shape)
    blocks: np.ndarray = even.reshape(depth, step, height, step, width, step).mean(axis=(1, 3, 5))
    return blocks
