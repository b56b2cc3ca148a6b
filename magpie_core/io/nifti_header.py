"""Read and check the header of a NIfTI file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from magpie_core.errors import InputError

Orientation = Literal["sform", "qform"]
AGAIN = "Copy or export the file again from its source"

_KINDS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_LARGEST_EXTENSION = 1 << 26  # bytes between header and data
_AGREEMENT = 0.1  # of the smallest voxel size


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """The checked content of a NIfTI header.

    Attributes:
        shape: (I, J, K), followed by further axes longer than 1.
        gap_bytes: Bytes between the header and the numbers.
        slope, inter: value = stored number * slope + inter.
        affine: (4, 4), voxel index -> RAS mm.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    gap_bytes: int
    slope: float
    inter: float
    affine: np.ndarray


def read_header(stream: io.BufferedIOBase, orientation: Orientation | None) -> NiftiHeader:
    """Read the header from the start of a file.

    Args:
        orientation: Transform to use where sform and qform disagree or neither is declared valid.

    Raises:
        InputError: If it is not a complete and valid NIfTI header, or `orientation` is needed and None.
    """
    try:
        header = _parse(stream)
        full_shape = tuple(int(size) for size in header.get_data_shape())
        shape = full_shape[:3] + tuple(size for size in full_shape[3:] if size != 1)
        _check_shape(shape)
        gap_bytes = int(header.get_data_offset()) - int(header["sizeof_hdr"])
        if not 0 <= gap_bytes < _LARGEST_EXTENSION:
            raise ValueError(f"its image data start {gap_bytes} bytes after the header")
        slope, inter = header.get_slope_inter()
        return NiftiHeader(
            shape,
            header.get_data_dtype(),
            gap_bytes,
            slope=1.0 if slope is None else float(slope),
            inter=0.0 if inter is None else float(inter),
            affine=_choose_affine(header, orientation),
        )
    except (HeaderDataError, WrapStructError, ValueError, OverflowError, KeyError) as error:
        raise InputError("The file's header is damaged", cause=str(error), remedy=AGAIN) from error


def _check_shape(shape: tuple[int, ...]) -> None:
    size = " x ".join(map(str, shape)) or "no"
    if min(shape, default=0) < 1:
        raise InputError("The file holds no image", cause=f"its header says {size} voxels", remedy=AGAIN)
    if len(shape) < 3:
        raise InputError(
            "The file holds a single slice instead of a volume",
            cause=f"its size is {size}",
            remedy="Give a file with all slices of the modality",
        )


def _parse(stream: io.BufferedIOBase) -> nibabel.Nifti1Header:
    block = stream.read(348)
    sizes = {int.from_bytes(block[:4], order) for order in ("little", "big")} & set(_KINDS)
    if len(block) < 348:
        raise InputError("The file is cut short", cause="its header is incomplete", remedy=AGAIN)
    if not sizes:
        raise InputError(
            "The file is not a NIfTI image", cause="it does not begin with a NIfTI header", remedy=f"{AGAIN}, as NIfTI"
        )
    kind = _KINDS[sizes.pop()]
    if kind is nibabel.Nifti2Header:
        block += stream.read(540 - 348)
    header = kind.from_fileobj(io.BytesIO(block))
    if not header["magic"].item().startswith(b"n+"):
        raise InputError(
            "The file is not a single-file NIfTI image",
            cause="it is in the older Analyze format, or half of a pair of .hdr and .img",
            remedy="Convert it to .nii or .nii.gz",
        )
    return header


def _choose_affine(header: nibabel.Nifti1Header, orientation: Orientation | None) -> np.ndarray:
    """Return the valid transform of the header; `orientation` decides where neither is valid or both disagree."""
    forms = {"sform": header.get_sform(), "qform": header.get_qform()}
    valid = [form for form in forms if header[f"{form}_code"] > 0]
    if len(valid) == 1:
        return forms[valid[0]]
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in header.get_data_shape()[:3]], 1.0)).reshape(4, -1)
    apart = ((forms["sform"] - forms["qform"]) @ corners)[:3]
    difference_mm = float(np.linalg.norm(apart, axis=0).max())
    if valid and difference_mm <= _AGREEMENT * np.linalg.norm(forms["sform"][:3, :3], axis=0).min():
        return forms["sform"]
    if orientation is not None:
        return forms[orientation]
    choose = "choose sform or qform (command line: --orientation)"
    if not valid:
        raise InputError(
            "The image's orientation is not known",
            cause="the file declares neither sform nor qform valid (both codes are 0)",
            remedy=f"Export it again with its orientation, or {choose}",
        )
    raise InputError(
        "The image's sform and qform disagree",
        cause=f"they differ by up to {difference_mm:.1f} mm",
        remedy=f"Compare the image with another modality, and {choose}",
    )
