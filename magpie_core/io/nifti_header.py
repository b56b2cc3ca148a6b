"""Read and check the header of a NIfTI file."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import IO, Literal

import nibabel
import numpy as np
from nibabel.quaternions import quat2mat
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from magpie_core.errors import InputError
from magpie_core.io.raw_image import AGAIN

Orientation = Literal["sform", "qform"]

_KINDS = {348: nibabel.Nifti1Header, 540: nibabel.Nifti2Header}
_CHOOSE = "choose sform or qform (command line: --orientation)"
_LARGEST_EXTENSION = 1 << 26  # bytes between header and data
_AGREEMENT = 0.1  # of the smallest voxel size
_LONGEST_QUATERNION = 1.001  # stored without its first part, it can come out longer than 1 by rounding


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """The checked content of a NIfTI header.

    Attributes:
        shape: (I, J, K), followed by further axes longer than 1.
        gap_bytes: Bytes between the header, or the start of the other file of a pair, and the numbers.
        slope, inter: value = stored number * slope + inter.
        affine: (4, 4), voxel index -> RAS mm.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    gap_bytes: int
    slope: float
    inter: float
    affine: np.ndarray


def read_header(stream: IO[bytes], orientation: Orientation | None, *, pair: bool = False) -> NiftiHeader:
    """Read the header from the start of a file.

    Args:
        orientation: Transform to use where sform and qform disagree or neither is declared valid.
        pair: Whether the numbers are in another file.

    Raises:
        InputError: If it is not a complete and valid NIfTI header, or `orientation` is needed and None.
    """
    try:
        header = _parse(stream, pair)
        full_shape = tuple(int(size) for size in header.get_data_shape())
        shape = full_shape[:3] + tuple(size for size in full_shape[3:] if size != 1)
        _check_shape(shape)
        gap_bytes = int(header.get_data_offset()) - (0 if pair else int(header["sizeof_hdr"]))
        if not 0 <= gap_bytes < _LARGEST_EXTENSION:
            raise ValueError(f"its image data start {gap_bytes} bytes after {'the start' if pair else 'the header'}")
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


def _parse(stream: IO[bytes], pair: bool) -> nibabel.Nifti1Header:
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
    magic = block[4:8] if kind is nibabel.Nifti2Header else block[344:348]
    if not magic.startswith(b"ni" if pair else b"n+"):
        analyze = not magic.startswith((b"ni", b"n+"))
        raise InputError(
            "The file is in the older Analyze format, which does not state the orientation"
            if analyze
            else f"The file is {'no' if pair else 'only'} half of a pair of .hdr and .img",
            cause="" if analyze else "its name says otherwise",
            remedy="Convert it to .nii or .nii.gz from the images of the scanner" if analyze else "Rename it",
        )
    return kind.from_fileobj(io.BytesIO(block))


def _qform(header: nibabel.Nifti1Header) -> np.ndarray | None:
    """Return the transform of the quaternion, scaled to length 1 where rounding made it longer; None if it is none."""
    parts = np.array([header[f"quatern_{part}"] for part in "bcd"], np.float64)
    sizes = np.array(header["pixdim"][1:4], np.float64)
    squared = float(parts @ parts)
    if not (squared <= _LONGEST_QUATERNION**2 and np.isfinite(sizes).all() and (sizes > 0).all()):
        return None
    parts /= max(math.sqrt(squared), 1.0)
    affine = np.eye(4)
    turn = quat2mat([math.sqrt(max(1.0 - float(parts @ parts), 0.0)), *parts])
    sizes[2] *= -1.0 if header["pixdim"][0] == -1 else 1.0  # the standard: 0 counts as 1
    affine[:3, :3] = turn * sizes
    affine[:3, 3] = [header[f"qoffset_{axis}"] for axis in "xyz"]
    return affine


def _choose_affine(header: nibabel.Nifti1Header, orientation: Orientation | None) -> np.ndarray:
    """Return the valid transform of the header; `orientation` decides where neither is valid or both disagree.

    As in nibabel, a transform that is not declared valid is not looked at.
    """
    valid = [form for form in ("sform", "qform") if header[f"{form}_code"] > 0]
    chosen = orientation if len(valid) != 1 else valid[0]
    if chosen is None and not valid:
        raise InputError(
            "The image's orientation is not known",
            cause="the file declares neither sform nor qform valid (both codes are 0)",
            remedy=f"Export it again with its orientation, or {_CHOOSE}",
        )
    sform, qform = header.get_sform(), _qform(header)
    if chosen != "sform" and qform is None:
        other = len(valid) == 2
        raise InputError(
            "The image's qform is damaged",
            cause="its quaternion is no rotation, or its voxel sizes are not positive",
            remedy=f"Compare the image with another modality, and {_CHOOSE}" if other else AGAIN,
        )
    if chosen == "sform":
        return np.asarray(sform)
    assert qform is not None
    if chosen == "qform":
        return qform
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in header.get_data_shape()[:3]], 1.0)).reshape(4, -1)
    difference_mm = float(np.linalg.norm(((sform - qform) @ corners)[:3], axis=0).max())
    if difference_mm <= _AGREEMENT * np.linalg.norm(sform[:3, :3], axis=0).min():
        return np.asarray(sform)
    raise InputError(
        "The image's sform and qform disagree",
        cause=f"they differ by up to {difference_mm:.1f} mm",
        remedy=f"Compare the image with another modality, and {_CHOOSE}",
    )
