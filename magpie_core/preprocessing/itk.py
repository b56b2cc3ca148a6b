"""Volumes and transforms as SimpleITK has them, and its N4; it counts the world left and posterior."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from magpie_core.errors import ResourceError
from magpie_core.imaging.background import content_mask
from magpie_core.imaging.volume import Volume

_BINS = 32
_SEED = 1
_FEWEST_TO_SMOOTH = 4  # voxels that the filter needs
_COARSE_MM = 4.0  # where the bias field is estimated
_ITERATIONS = (30, 30, 30)
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS <-> LPS


def simpleitk(failure: str = "The images of the study cannot be aligned") -> Any:
    """Return the package SimpleITK; ResourceError with the failure if it is not installed."""
    try:
        import SimpleITK  # noqa: N813
    except ImportError as error:
        raise ResourceError(
            failure,
            cause="the package SimpleITK is not installed",
            remedy="Install MAGPIE's Python packages (command line: pip install SimpleITK)",
        ) from error
    return SimpleITK


@contextmanager
def limit_threads(itk: Any, threads: int | None) -> Iterator[None]:
    """Let SimpleITK use this many CPU threads; None for its own choice."""
    usual = itk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    itk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads or usual)
    try:
        yield
    finally:
        itk.ProcessObject.SetGlobalDefaultNumberOfThreads(usual)


def mattes_registration(itk: Any, fixed: Any, fixed_mask: Any, *, samples: int) -> Any:
    """Return a registration method by Mattes' mutual information, sampled at random inside a mask of the fixed image.

    Mattes et al., PET-CT image registration in the chest using free-form deformations, IEEE Trans Med Imaging 2003.
    """
    method = itk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, samples / fixed.GetNumberOfPixels()), _SEED)
    method.SetMetricFixedMask(fixed_mask)
    method.SetInterpolator(itk.sitkLinear)
    return method


def itk_image(itk: Any, volume: Volume, spacing_mm: float, *, clip: bool = True) -> Any:
    """The volume for SimpleITK as float32, smoothed and resampled to about `spacing_mm` where it is finer.

    `clip` cuts off the brightest 0.2 %; not for masks.
    """
    affine = _FLIP @ volume.affine
    sizes = np.array(volume.spacing_mm)
    data = np.asarray(volume.data, np.float32)
    if clip:
        data = np.minimum(data, np.percentile(data[::2, ::2, ::2], 99.8))
    image = itk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0)))
    image.SetSpacing(sizes.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / sizes).ravel().tolist())
    factors = np.maximum(spacing_mm / sizes, 1.0)
    if (factors <= 1.25).all():
        return image
    sigmas = np.where(factors > 1.25, 0.4 * spacing_mm, 1e-3 * sizes)
    wide = [index for index in range(3) if factors[index] > 1.25 and volume.shape[index] >= _FEWEST_TO_SMOOTH]
    for axis in wide:
        image = itk.RecursiveGaussian(
            image, float(sigmas[axis]), False, itk.RecursiveGaussianImageFilter.ZeroOrder, axis
        )
    steps = np.where(factors > 1.25, factors, 1.0)
    target = itk.Image([int(max(4, round(n / f))) for n, f in zip(volume.shape, steps, strict=True)], itk.sitkFloat32)
    spacing = sizes * np.array(volume.shape) / np.array(target.GetSize())
    target.SetSpacing(spacing.tolist())
    target.SetDirection(image.GetDirection())
    index = (np.array(volume.shape) / np.array(target.GetSize()) - 1) / 2
    target.SetOrigin(image.TransformContinuousIndexToPhysicalPoint(index.tolist()))
    return itk.Resample(image, target, itk.Transform(), itk.sitkLinear)


def world_matrix(transform: Any) -> np.ndarray:
    """(4, 4) of a linear transform of SimpleITK, fixed world -> moving world, RAS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    center, shift = np.array(transform.GetCenter()), np.array(transform.GetTranslation())
    matrix[:3, 3] = shift + center - matrix[:3, :3] @ center
    return np.asarray(_FLIP @ matrix @ _FLIP)


def from_world_matrix(itk: Any, matrix: np.ndarray) -> Any:
    """An AffineTransform of SimpleITK from (4, 4), fixed world -> moving world, RAS mm."""
    turned = _FLIP @ matrix @ _FLIP
    transform = itk.AffineTransform(3)
    transform.SetMatrix(turned[:3, :3].ravel().tolist())
    transform.SetTranslation(turned[:3, 3].tolist())
    return transform


def correct_bias_field(volume: Volume, *, threads: int | None = None) -> Volume:
    """Divide an image by its bias field, estimated by N4 at about 4 mm.

    Tustison et al., N4ITK: improved N3 bias correction, IEEE Trans Med Imaging 2010.

    Args:
        volume: Gray values of 0 and more; the background is left as it is.

    Returns:
        Volume: float32, on the same grid.

    Raises:
        ResourceError: If SimpleITK is not installed.
    """
    itk = simpleitk("The bias field cannot be corrected")
    inside = content_mask(volume.data) & (volume.data > 0)
    if not inside.any():
        return volume
    image = itk.GetImageFromArray(np.ascontiguousarray(volume.data.T, np.float32))
    mask = itk.GetImageFromArray(np.ascontiguousarray(inside.T, np.uint8))
    image.SetSpacing(volume.spacing_mm)
    mask.SetSpacing(volume.spacing_mm)
    # N4's splines need at least four voxels along each axis.
    factors = [
        max(1, min(round(_COARSE_MM / size), count // 4))
        for size, count in zip(volume.spacing_mm, volume.shape, strict=True)
    ]
    corrector = itk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(_ITERATIONS)
    if threads:
        corrector.SetNumberOfThreads(threads)
    corrector.Execute(itk.Shrink(image, factors), itk.Shrink(mask, factors))
    field = np.exp(itk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(image))).T
    data = np.where(inside, volume.data / np.maximum(field, 1e-3), volume.data).astype(np.float32)
    return Volume(data, volume.affine, volume.source, volume.warnings)
