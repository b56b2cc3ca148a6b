"""An image as its file stores it, whatever the format, and what all formats share."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from magpie_core.errors import InputError, ResourceError, errors_about, read_errors
from magpie_core.imaging.volume import Volume

AGAIN = "Copy or export the file again from its source"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_LFS = b"version https://git-lfs"
_FETCH = "Fetch the content (data sets in Git: git annex get, datalad get, git lfs pull), or copy the file itself"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class RawImage:
    """The content of an image file as stored.

    Attributes:
        data: (I, J, K, ...) numbers before scaling; axes of length 1 beyond the third are dropped.
        affine: (4, 4), voxel index -> RAS mm.
        slope, inter: value = stored number * slope + inter.
        source: The file, for messages.
    """

    data: np.ndarray
    affine: np.ndarray
    source: str
    slope: float = 1.0
    inter: float = 0.0

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
            if self.slope != 1.0:
                data *= np.float32(self.slope)
            if self.inter != 0.0:
                data += np.float32(self.inter)
            # A sum is finite only if every term is; the slower count follows only where it is not.
            total = data.sum(dtype=np.float64)
        if np.isfinite(total):
            return Volume(data, self.affine, self.source)
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
        return Volume(data, self.affine, self.source, (repaired,))


@contextmanager
def open_content(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpacked where it is compressed (gzip, Zstandard), whatever its name.

    Raises:
        InputError: If it is missing, empty, or its compressed data do not pass their check, also while it is read.
        ResourceError: If the package that unpacks it is missing.
    """
    with errors_about(path), read_errors(path):
        if path.is_dir():
            raise InputError("This is a folder, where an image file is expected", remedy="Give the file inside it")
        if path.is_symlink() and not path.exists():
            cause = f"it is a link to {os.readlink(path)[:200]}, which is not there"
            raise InputError("The file's content is missing", cause=cause, remedy=_FETCH)
        if not path.exists():
            raise InputError("The file does not exist", remedy="Check its name and place")
        if not path.is_file():
            raise InputError("This is not a regular file", remedy="Give an image file")
        damage: list[type[Exception]] = [gzip.BadGzipFile, zlib.error]
        try:
            with path.open("rb") as file:
                start = file.peek(4)[:4]
                if not start:
                    raise InputError("The file is empty", cause="it has 0 bytes", remedy=AGAIN)
                if file.peek(len(_LFS)).startswith(_LFS):
                    raise InputError(
                        "The file's content is missing", cause="it only points to it (Git LFS)", remedy=_FETCH
                    )
                if start.startswith(_GZIP):
                    with gzip.GzipFile(fileobj=file) as stream:
                        yield cast(IO[bytes], stream)
                elif start == _ZSTD:
                    zstd = _import_zstd()
                    damage.append(zstd.ZstdError)
                    with zstd.ZstdFile(file) as stream:
                        yield stream
                else:
                    yield file
        except EOFError as error:
            cause = "its compressed data end too early"
            raise InputError("The file is cut short", cause=cause, remedy=AGAIN) from error
        except tuple(damage) as error:
            cause = f"its compressed data do not pass their check ({error})"
            raise InputError("The file is damaged", cause=cause, remedy=AGAIN) from error


def _import_zstd() -> Any:
    try:
        from backports import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise ResourceError(
            "Cannot read .zst files",
            cause="the package backports.zstd is not installed",
            remedy="Install it (command line: pip install backports.zstd), or unpack the file with zstd -d",
        ) from error
    return zstd


def read_numbers(stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype, *, most_excess: int | None) -> np.ndarray:
    """Read the numbers of an image in Fortran order, and the file to its end: only there is a checksum compared.

    Args:
        most_excess: Bytes that may follow the numbers; None for any number.

    Raises:
        InputError: If the file is shorter or longer than its header says.
        ResourceError: If the image does not fit into memory.
    """
    size = " x ".join(map(str, shape))
    try:
        buffer = bytearray(math.prod(shape) * dtype.itemsize)
    except (MemoryError, OverflowError) as error:
        raise ResourceError(
            "The image is too large for this computer's memory",
            cause=f"its header says {size} voxels",
            remedy="Check that the file is what it should be, or use a computer with more memory",
        ) from error
    filled = 0
    with memoryview(buffer) as view:
        while filled < len(buffer) and (count := stream.readinto(view[filled : filled + _CHUNK_BYTES])):  # type: ignore[attr-defined]
            filled += count
    if filled < len(buffer):
        cause = f"it holds {filled} of the {len(buffer)} bytes of image data that its header announces"
        raise InputError("The file is cut short", cause=cause, remedy=AGAIN)
    excess = 0
    while chunk := stream.read(_CHUNK_BYTES):
        excess += len(chunk)
    if most_excess is not None and excess > most_excess:
        raise InputError(
            "The file is longer than its header says",
            cause=f"{excess} bytes follow after {size} voxels of type {dtype.name}",
            remedy=AGAIN,
        )
    return np.frombuffer(buffer, dtype).reshape(shape, order="F")
