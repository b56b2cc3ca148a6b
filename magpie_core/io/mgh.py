"""Read FreeSurfer's images, .mgh and .mgz."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel
import numpy as np

from magpie_core.errors import InputError, errors_about
from magpie_core.io.raw_image import AGAIN, RawImage, open_content, read_numbers

_HEADER_BYTES = 284
_VERSION = 1


def read_mgh(path: Path) -> RawImage:
    """Read a .mgh or .mgz file, checked to its last byte.

    Raises:
        InputError: If it is damaged, or does not state its orientation.
    """
    with errors_about(path), open_content(path) as stream:
        block = stream.read(_HEADER_BYTES)
        if len(block) < _HEADER_BYTES:
            raise InputError("The file is cut short", cause="its header is incomplete", remedy=AGAIN)
        if int.from_bytes(block[:4], "big") != _VERSION:
            raise InputError("The file is not an MGH image", cause="it does not begin with its mark", remedy=AGAIN)
        stated = int.from_bytes(block[28:30], "big") == 1
        try:
            header = nibabel.freesurfer.mghformat.MGHHeader.from_fileobj(io.BytesIO(block))
            shape = tuple(int(size) for size in header["dims"])
            dtype = np.dtype(header.get_data_dtype())
            affine = np.asarray(header.get_affine())
        except Exception as error:  # the library's ways to say that a field has no meaning
            raise InputError("The file's header is damaged", cause=str(error), remedy=AGAIN) from error
        if min(shape) < 1:
            cause = f"its header says {' x '.join(map(str, shape))} voxels"
            raise InputError("The file holds no image", cause=cause, remedy=AGAIN)
        if not stated:
            raise InputError(
                "The image's orientation is not known",
                cause="the file says that it does not state one",
                remedy="Export it again with its orientation (FreeSurfer: mri_convert from the scanner's images)",
            )
        shape = shape if shape[3] > 1 else shape[:3]
        data = read_numbers(stream, shape, dtype, most_excess=None)
    return RawImage(data, affine, str(path))
