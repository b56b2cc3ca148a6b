"""Correction of the bias field: slow changes of brightness across an image."""

from __future__ import annotations

import numpy as np

from magpie_core.imaging.background import content_mask
from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing.itk import simpleitk

_COARSE_MM = 4.0
_ITERATIONS = (30, 30, 30)


def correct_bias_field(volume: Volume, *, threads: int | None = None) -> Volume:
    """Divide an image by its bias field, estimated by N4 at about 4 mm.

    Tustison et al., N4ITK: improved N3 bias correction, IEEE Trans Med Imaging 2010.

    Args:
        volume: Gray values of 0 and more; the background is left as it is.
        threads: CPU threads; None for the library's choice.

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
