"""Read and check the header of a NIfTI file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

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
        dtype: Type of the stored numbers.
        gap_bytes: Bytes between the header and the numbers.
        slope, inter: value = stored number * slope + inter.
        forms: Transforms "sform" and "qform", each (4, 4), voxel index -> RAS mm.
        valid: Those of them that the file declares valid.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    gap_bytes: int
    slope: float
    inter: float
    forms: Mapping[str, np.ndarray]
    valid: tuple[str, ...]

    @classmethod
    def read(cls, stream: BinaryIO, *, source: str) -> NiftiHeader:
        """Read from the start of a file.

        Raises:
            InputError: If it is not a complete and valid NIfTI header.
        """
        try:
            header = _parse(stream, source)
            shape = tuple(int(size) for size in header.get_data_shape())
            slope, inter = header.get_slope_inter()
            found = cls(
                shape=shape[:3] + tuple(size for size in shape[3:] if size != 1),
                dtype=header.get_data_dtype(),
                gap_bytes=int(header.get_data_offset()) - int(header["sizeof_hdr"]),
                slope=1.0 if slope is None else float(slope),
                inter=0.0 if inter is None else float(inter),
                forms={"sform": header.get_sform(), "qform": header.get_qform()},
                valid=tuple(form for form in ("sform", "qform") if header[f"{form}_code"] > 0),
            )
        except (HeaderDataError, WrapStructError, ValueError, OverflowError, KeyError) as error:
            raise _damaged(str(error), source) from error
        found._check(source)
        return found

    def affine(self, orientation: Orientation | None, *, source: str) -> np.ndarray:
        """Return the transform (4, 4), voxel index -> RAS mm; `orientation` decides where the file is ambiguous.

        Raises:
            InputError: If neither transform is declared valid, or both are and disagree, and `orientation` is None.
        """
        if len(self.valid) == 1:
            return self.forms[self.valid[0]]
        difference_mm = self._disagreement_mm()
        if self.valid and difference_mm <= _AGREEMENT * np.linalg.norm(self.forms["sform"][:3, :3], axis=0).min():
            return self.forms["sform"]
        if orientation is not None:
            return self.forms[orientation]
        if not self.valid:
            raise InputError(
                "The image's orientation is not known",
                cause="the file declares neither sform nor qform valid (both codes are 0)",
                remedy="Export it again with its orientation, or choose sform or qform (magpie segment: --orientation)",
                source=source,
            )
        raise InputError(
            "The image's sform and qform disagree",
            cause=f"they differ by up to {difference_mm:.1f} mm",
            remedy="Compare the image with another modality, and choose sform or qform (magpie segment: --orientation)",
            source=source,
        )

    def _disagreement_mm(self) -> float:
        corners = np.array(np.meshgrid(*[(0, size - 1) for size in self.shape[:3]], (1.0,))).reshape(4, -1)
        apart = ((self.forms["sform"] - self.forms["qform"]) @ corners)[:3]
        return float(np.linalg.norm(apart, axis=0).max())

    def _check(self, source: str) -> None:
        size = " x ".join(map(str, self.shape)) or "no"
        if min(self.shape, default=0) < 1:
            raise InputError(
                "The file holds no image", cause=f"its header says {size} voxels", remedy=AGAIN, source=source
            )
        if len(self.shape) < 3:
            raise InputError(
                "The file holds a single slice instead of a volume",
                cause=f"its size is {size}",
                remedy="Give a file with all slices of the modality",
                source=source,
            )
        if not 0 <= self.gap_bytes < _LARGEST_EXTENSION:
            raise _damaged(f"its image data start {self.gap_bytes} bytes after the header", source)


def _parse(stream: BinaryIO, source: str) -> nibabel.Nifti1Header:
    block = stream.read(348)
    sizes = {int.from_bytes(block[:4], order) for order in ("little", "big")} & set(_KINDS)
    if len(block) < 348:
        raise InputError("The file is cut short", cause="its header is incomplete", remedy=AGAIN, source=source)
    if not sizes:
        raise InputError(
            "The file is not a NIfTI image",
            cause="it does not begin with a NIfTI header",
            remedy=f"{AGAIN}, as NIfTI",
            source=source,
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
            source=source,
        )
    return header


def _damaged(cause: str, source: str) -> InputError:
    return InputError("The file's header is damaged", cause=cause, remedy=AGAIN, source=source)
