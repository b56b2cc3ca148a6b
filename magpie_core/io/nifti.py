"""Read and write NIfTI files; a faulty file is refused by name, never read in part."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from magpie_core.errors import InputError, ResourceError, errors_about, read_errors
from magpie_core.imaging.volume import Volume
from magpie_core.io.file_names import NIFTI_ENDINGS
from magpie_core.io.nifti_header import AGAIN, NiftiHeader, Orientation, read_header
from magpie_core.storage.atomic import write_bytes

_CHUNK_BYTES = 1 << 20
_PADDING_BYTES = 1024  # some writers round the file's length up


@dataclass(frozen=True, eq=False)
class RawImage:
    """The content of a NIfTI file as stored.

    Attributes:
        data: (I, J, K, ...) numbers before scaling; axes of length 1 beyond the third are dropped.
    """

    data: np.ndarray
    header: NiftiHeader
    source: str

    @property
    def channels(self) -> int:
        """Number of three-dimensional images."""
        return math.prod(self.data.shape[3:])

    def volume(self, channel: int, *, repair: bool) -> Volume:
        """Return one image, scaled, float32; voxels that are not finite are refused, or set to 0 with a warning."""
        stored = self.data.reshape(*self.data.shape[:3], -1, order="F")[..., channel]
        if stored.dtype.kind not in "iuf":
            raise InputError(
                "The file does not hold plain gray values",
                cause=f"its data type is {'color' if stored.dtype.names else stored.dtype}",
                remedy="Export the modality as a gray-value image",
                source=self.source,
            )
        with np.errstate(over="ignore", invalid="ignore"):
            data = stored.astype(np.float32)
            if self.header.slope != 1.0:
                data *= np.float32(self.header.slope)
            if self.header.inter != 0.0:
                data += np.float32(self.header.inter)
            # A sum is finite only if every term is; the slower count follows only where it is not.
            total = data.sum(dtype=np.float64)
        if np.isfinite(total):
            return Volume(data, self.header.affine, self.source)
        wrong = ~np.isfinite(data)
        count = int(wrong.sum())
        if not repair:
            raise InputError(
                f"{count} voxels are not finite numbers (NaN or infinity)",
                cause="an earlier processing step has divided by zero or overflowed",
                remedy="Repeat that step, or set these voxels to 0 (command line: --repair)",
                source=self.source,
            )
        data[wrong] = 0
        percent = 100 * count / data.size
        repaired = f"{self.source}: {count} voxels ({percent:.1f} %) were not finite numbers and were set to 0."
        return Volume(data, self.header.affine, self.source, (repaired,))


def read_volume(path: Path, *, orientation: Orientation | None = None, repair: bool = False) -> Volume:
    """Read a NIfTI file (.nii, .nii.gz), checked to its last byte.

    Args:
        orientation: Transform to use where sform and qform disagree or neither is declared valid.
        repair: Set NaN and infinite voxels to 0, with a warning, instead of refusing them.

    Returns:
        Volume: float32 data (I, J, K).

    Raises:
        InputError: If the file is missing, damaged, of another kind, or its content cannot be used as one image.
    """
    raw = read_raw(path, orientation=orientation)
    if raw.channels != 1:
        raise InputError(
            f"The file holds {raw.channels} images instead of one",
            cause=f"its size is {' x '.join(map(str, raw.data.shape))}",
            remedy="Give one file for each modality (command line: or --order, the modalities in this file)",
            source=raw.source,
        )
    return raw.volume(0, repair=repair)


def read_channels(path: Path, *, orientation: Orientation | None = None, repair: bool = False) -> list[Volume]:
    """Read every image of a file with four dimensions (one, of a plain file), in their order, like `read_volume`."""
    raw = read_raw(path, orientation=orientation)
    return [raw.volume(channel, repair=repair) for channel in range(raw.channels)]


def read_raw(path: Path, *, orientation: Orientation | None = None) -> RawImage:
    """Read the numbers of a NIfTI file as stored, checked to its last byte; InputError if it is faulty."""
    path = Path(path)
    with errors_about(path), read_errors(path):
        try:
            _check_kind(path)
            with path.open("rb") as file:
                start = file.peek(2)[:2]
                if not start:
                    raise InputError("The file is empty", cause="it has 0 bytes", remedy=AGAIN)
                with gzip.GzipFile(fileobj=file) if start == b"\x1f\x8b" else file as stream:
                    return _read(stream, str(path), orientation)
        except EOFError as error:
            cause = "its compressed data end too early"
            raise InputError("The file is cut short", cause=cause, remedy=AGAIN) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            cause = f"its compressed data do not pass their check ({error})"
            raise InputError("The file is damaged", cause=cause, remedy=AGAIN) from error


def write_volume(volume: Volume, path: Path) -> None:
    """Write a NIfTI file (gzipped where the name ends in .gz), atomically; raises like `encode` and `write_bytes`."""
    write_bytes(Path(path), encode(volume.data, volume.affine, Path(path)))


def encode(data: np.ndarray, affine: np.ndarray, path: Path) -> bytes:
    """Return the bytes of a NIfTI-1 file named `path`: sform and qform valid (code 1, scanner), in mm.

    Raises:
        InputError: If the name does not end in .nii or .nii.gz.
    """
    if not path.name.lower().endswith(NIFTI_ENDINGS):
        problem = "The name of a NIfTI file must end in .nii or .nii.gz"
        raise InputError(problem, remedy="Choose another name", source=str(path))
    if data.dtype == bool:
        data = data.astype(np.uint8)
    if data.dtype.itemsize == 8:  # few programs read 64-bit images
        data = data.astype(np.float32 if data.dtype.kind == "f" else np.int32)
    image = nibabel.Nifti1Image(data, affine, dtype=data.dtype)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    payload: bytes = image.to_bytes()
    return gzip.compress(payload, compresslevel=4, mtime=0) if path.name.lower().endswith(".gz") else payload


def _check_kind(path: Path) -> None:
    if path.is_dir():
        remedy = "Give the .nii or .nii.gz file inside it"
        raise InputError("This is a folder, where an image file is expected", remedy=remedy)
    if not path.exists():
        raise InputError("The file does not exist", remedy="Check its name and place")
    if not path.is_file():
        raise InputError("This is not a regular file", remedy="Give a .nii or .nii.gz file")
    if not path.name.lower().endswith(NIFTI_ENDINGS):
        dicom = path.suffix.lower() in (".dcm", ".ima", "")
        raise InputError(
            "Cannot read this type of file",
            cause="it looks like DICOM" if dicom else f"its name ends in '{path.suffix}'",
            remedy="Convert it to NIfTI (.nii.gz), for example with dcm2niix or by saving it from 3D Slicer",
        )


def _read(stream: io.BufferedIOBase, source: str, orientation: Orientation | None) -> RawImage:
    header = read_header(stream, orientation)
    size = " x ".join(map(str, header.shape))
    try:
        buffer = bytearray(math.prod(header.shape) * header.dtype.itemsize)
    except (MemoryError, OverflowError) as error:
        raise ResourceError(
            "The image is too large for this computer's memory",
            cause=f"its header says {size} voxels",
            remedy="Check that the file is what it should be, or use a computer with more memory",
        ) from error
    stream.read(header.gap_bytes)
    filled = stream.readinto(buffer)
    if filled < len(buffer):
        cause = f"it holds {filled} of the {len(buffer)} bytes of image data that its header announces"
        raise InputError("The file is cut short", cause=cause, remedy=AGAIN)
    excess = 0
    while chunk := stream.read(_CHUNK_BYTES):  # to the very end: only there is the checksum compared
        excess += len(chunk)
    if excess > _PADDING_BYTES:
        raise InputError(
            "The file is longer than its header says",
            cause=f"{excess} bytes follow after {size} voxels of type {header.dtype.name}",
            remedy=AGAIN,
        )
    return RawImage(np.frombuffer(buffer, header.dtype).reshape(header.shape, order="F"), header, source)
