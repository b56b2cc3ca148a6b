"""A patient's brain on the ICBM 152 template, by an affine registration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from magpie_core.errors import InputError
from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.volume import Volume
from magpie_core.io.template import read_template
from magpie_core.preprocessing.itk import (
    from_world_matrix,
    itk_image,
    limit_threads,
    mattes_registration,
    simpleitk,
    world_matrix,
)

_LEVELS_MM = (6.0, 3.0)
_SAMPLES = 40_000
_STEPS = 100
_EDGE_MM = 6.0  # around the template's brain, so that its edge is seen
_TUMOR_EDGE_MM = 5.0  # around the tumor: what it pushes aside is no guide either
_LEAST_SEEN = 0.5  # share of the brain beside the tumor; a glioma leaves more
_LEAST_BRAIN_ML = 100.0
_LEAST_INSIDE = 0.85  # share of the brain that lies in the template's: 0.94 to 0.98 where it was measured
_LARGEST_SCALE = 1.6  # an adult's brain is no further from the template


@dataclass(frozen=True, eq=False)
class TemplateAlignment:
    """Where a study lies in the template.

    Attributes:
        matrix: (4, 4), affine: place in the study's world -> place in the template's (MNI), RAS mm.
        template: The template's brain, T1-weighted, 1 mm.
        similarity: Mutual information at the end, in nats.
        without_tumor: Whether a tumor was left out of the comparison.
    """

    matrix: np.ndarray
    template: Volume
    similarity: float
    without_tumor: bool = False

    def onto_template(self, data: np.ndarray, geometry: Geometry, *, nearest: bool = False) -> np.ndarray:
        """Bring an image (I, J, K) of the study to the template's grid: linear, or nearest for labels; 0 outside.

        The result has the type of `data`.
        """
        to_index = np.linalg.inv(geometry.affine) @ np.linalg.inv(self.matrix) @ self.template.affine
        source = data if nearest else data.astype(np.float32, copy=False)
        placed = ndimage.affine_transform(
            source, to_index[:3, :3], to_index[:3, 3], self.template.shape, order=0 if nearest else 1
        )
        if data.dtype.kind in "iub" and not nearest:
            placed = np.rint(placed)
        return np.asarray(placed.astype(data.dtype))


def align_to_template(
    image: Volume,
    *,
    brain: np.ndarray | None = None,
    tumor: np.ndarray | None = None,
    template: Volume | None = None,
    threads: int | None = None,
) -> TemplateAlignment:
    """Find the affine map that lays a brain on the template; nothing is moved.

    Mutual information (Mattes) is climbed by gradient steps from the middle and the extent of the two brains, first
    with coarse, then with finer images.

    Args:
        image: Any modality; T1 is the most like the template.
        brain: (I, J, K) bool, what is brain; by default what is not 0.
        tumor: (I, J, K) bool: left out of the comparison with a margin of 5 mm, as the template has none, unless that
            would leave less than half of the brain.
        template: Another template's brain, 0 around it.

    Raises:
        ResourceError: If SimpleITK is not installed, or the template does not come with this installation.
        InputError: If there is no brain, or it cannot be laid on the template.
    """
    template = template or read_template()
    itk = simpleitk()
    inside = image.data != 0 if brain is None else brain
    if np.count_nonzero(inside) * image.voxel_volume_ml < _LEAST_BRAIN_ML:
        raise InputError(
            "The brain cannot be laid on the template", cause="hardly any of it is in the image", source=image.source
        )
    healthy = None if tumor is None else _healthy(tumor, inside, image)
    masked = Volume(np.where(inside, image.data, 0).astype(np.float32), image.affine)
    try:
        with limit_threads(itk, threads):
            transform, value = _climb(itk, template, masked, inside, healthy)
    except RuntimeError as error:
        raise _failed(image, "the two have nothing in common") from error
    matrix = world_matrix(transform)
    scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    if scales.max() > _LARGEST_SCALE or scales.min() < 1 / _LARGEST_SCALE:
        raise _failed(image, "it would have to be stretched more than brains differ")
    aligned = TemplateAlignment(np.linalg.inv(matrix), template, -value, healthy is not None)
    if _share_inside(aligned, inside, image.geometry) < _LEAST_INSIDE:
        raise _failed(image, "its outline does not fit")
    return aligned


def _healthy(tumor: np.ndarray, inside: np.ndarray, image: Volume) -> np.ndarray | None:
    """What lies beside the tumor; None if there is no tumor, or too little beside it to go by."""
    if not tumor.any():
        return None
    healthy = ~_dilated(tumor, image, _TUMOR_EDGE_MM)
    enough = np.count_nonzero(healthy & inside) >= _LEAST_SEEN * np.count_nonzero(inside)
    return healthy if enough else None


def _climb(
    itk: Any, template: Volume, masked: Volume, inside: np.ndarray, healthy: np.ndarray | None
) -> tuple[Any, float]:
    """The transform from the template's world to the image's, and the measure there."""
    around = _dilated(template.data != 0, template, _EDGE_MM)
    fixed_mask = _itk_mask(itk, around, template)
    moving_mask = None
    if healthy is not None:
        moving_mask = _itk_mask(itk, healthy, masked)
    transform = from_world_matrix(itk, _first_guess(template, masked, inside))
    value = 0.0
    for spacing_mm in _LEVELS_MM:
        fixed, moving = itk_image(itk, template, spacing_mm), itk_image(itk, masked, spacing_mm)
        method = mattes_registration(itk, fixed, fixed_mask, samples=_SAMPLES)
        if moving_mask is not None:
            method.SetMetricMovingMask(moving_mask)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=spacing_mm, minStep=0.01, numberOfIterations=_STEPS, relaxationFactor=0.7
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(fixed, moving)
        value = float(method.GetMetricValue())
    return transform, value


def _itk_mask(itk: Any, mask: np.ndarray, volume: Volume) -> Any:
    return itk.Cast(itk_image(itk, Volume(mask.astype(np.uint8), volume.affine), 0.0, clip=False), itk.sitkUInt8)


def _share_inside(aligned: TemplateAlignment, inside: np.ndarray, geometry: Geometry) -> float:
    """Share of the brain that lies in the template's brain, by every 50th voxel."""
    index = np.argwhere(inside)[::50]
    to_template = np.linalg.inv(aligned.template.affine) @ aligned.matrix @ geometry.affine
    places = np.rint(index @ to_template[:3, :3].T + to_template[:3, 3]).astype(int)
    kept = places[((places >= 0) & (places < aligned.template.shape)).all(axis=1)]
    return float(np.count_nonzero(aligned.template.data[tuple(kept.T)]) / len(index))


def _first_guess(template: Volume, masked: Volume, inside: np.ndarray) -> np.ndarray:
    """Template's world -> image's world: the brains' middles on each other, and their sizes."""
    middles, sizes_ml = [], []
    for volume, mask in ((template, template.data != 0), (masked, inside)):
        index = np.array(ndimage.center_of_mass(mask))
        middles.append(volume.affine[:3, :3] @ index + volume.affine[:3, 3])
        sizes_ml.append(np.count_nonzero(mask) * volume.voxel_volume_ml)
    matrix = np.eye(4)
    matrix[:3, :3] *= np.clip((sizes_ml[1] / sizes_ml[0]) ** (1 / 3), 1 / 1.3, 1.3)
    matrix[:3, 3] = middles[1] - matrix[:3, :3] @ middles[0]
    return matrix


def _dilated(mask: np.ndarray, volume: Volume, radius_mm: float) -> np.ndarray:
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=volume.spacing_mm) <= radius_mm)


def _failed(image: Volume, cause: str) -> InputError:
    return InputError(
        "The brain could not be laid on the template",
        cause=cause,
        remedy="Look at the study's own images instead",
        source=image.source,
    )
