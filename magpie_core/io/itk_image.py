"""Read NRRD and MetaImage files; SimpleITK reads them, after what it does not check is checked."""

from __future__ import annotations

import contextlib
import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from magpie_core.errors import InputError, ResourceError, errors_about, read_errors
from magpie_core.io.raw_image import AGAIN

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LONGEST_HEADER = 1 << 20
_CHUNK_BYTES = 1 << 20
_PADDING_BYTES = 1024  # some writers round the file's length up
_TEXTS = ("ascii", "text", "txt", "hex")
_SKIPS = ("byte skip", "byteskip", "line skip", "lineskip", "headersize")
_MM = {"mm", "millimeter", "millimeters", "???"}
_SPACES = ("left-posterior-superior", "right-anterior-superior", "left-anterior-superior", "lps", "ras", "las")


@dataclass(frozen=True, eq=False)
class ItkImage:
    """An image as stored.

    Attributes:
        data: (I, J, K) numbers, followed by the components where there are several.
        affine: (4, 4), voxel index -> RAS mm; the identity where the file is not three-dimensional.
        fields: Further entries of the header.
        oriented: Whether the file states where the voxels lie in the patient.
        dimension: Axes of the image.
    """

    data: np.ndarray
    affine: np.ndarray
    fields: dict[str, str]
    oriented: bool
    dimension: int

    def refuse_unknown_orientation(self) -> None:
        """Raise InputError if the file does not state how the image lies in the patient."""
        if not self.oriented:
            raise InputError(
                "The image's orientation is not known",
                cause="the header names no space of the patient and directions in it",
                remedy="Export it again with its orientation, for example from 3D Slicer",
            )


def read_itk(path: Path) -> ItkImage:
    """Read a .nrrd, .nhdr, .mha or .mhd file, and check lengths and checksums to its last byte.

    Raises:
        InputError: If it is damaged, or names data outside its folder.
        ResourceError: If SimpleITK is missing, or memory.
    """
    try:
        import SimpleITK as itk  # noqa: N813
    except ImportError as error:
        raise ResourceError(
            f"Cannot read {path.suffix} files",
            cause="the package SimpleITK is not installed",
            remedy="Install it (command line: pip install SimpleITK), or export the image as .nii.gz",
        ) from error
    with errors_about(path), read_errors(path):
        if not path.is_file():
            raise InputError("The file does not exist", remedy="Check its name and place")
        nrrd = path.suffix.lower() in (".nrrd", ".nhdr")
        header, end = _read_header(path, nrrd)
        data_file = _data_file(path, header)
        start = end if data_file == path else 0
        reader = itk.ImageFileReader()
        reader.SetFileName(str(path))
        reader.SetImageIO("NrrdImageIO" if nrrd else "MetaImageIO")
        try:
            reader.ReadImageInformation()
            voxel = itk.Image([1, 1], reader.GetPixelIDValue(), reader.GetNumberOfComponents())
            voxels = math.prod(reader.GetSize())
            _check_data(data_file, header, start, voxels, voxels * int(itk.GetArrayFromImage(voxel).nbytes))
            image = reader.Execute()
            data = itk.GetArrayFromImage(image)
        except RuntimeError as error:
            cause = str(error).strip().splitlines()[-1].strip()
            raise InputError("The file is damaged or cut short", cause=cause, remedy=AGAIN) from error
        except MemoryError as error:
            remedy = "Check that the file is what it should be, or use a computer with more memory"
            raise ResourceError("The image is too large for this computer's memory", remedy=remedy) from error
        fields = _fields(image)
        if image.GetDimension() != 3:
            return ItkImage(data.T, np.eye(4), fields, False, image.GetDimension())
        affine = np.eye(4)
        affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
        affine[:3, 3] = image.GetOrigin()
        units = {unit for unit in re.findall(r'"([^"]*)"', header.get("space units", "")) if unit} - _MM
        if nrrd and units:
            remedy = "Export it again in mm, for example from 3D Slicer"
            raise InputError("The image's lengths are not in mm", cause=f"but in {', '.join(units)}", remedy=remedy)
        oriented = header.get("space", "").lower() in _SPACES if nrrd else _has_matrix(header)
        return ItkImage(data.transpose(2, 1, 0, *range(3, data.ndim)), _LPS_TO_RAS @ affine, fields, oriented, 3)


def _fields(image: Any) -> dict[str, str]:
    """Return the further entries of a header, but for those that are no text."""
    fields = {}
    for key in image.GetMetaDataKeys():
        with contextlib.suppress(TypeError, ValueError):
            fields[str(key)] = str(image.GetMetaData(key))
    return fields


def _has_matrix(header: dict[str, str]) -> bool:
    return bool({"transformmatrix", "rotation", "orientation"} & set(header))


def _read_header(path: Path, nrrd: bool) -> tuple[dict[str, str], int]:
    """Return the fields of the text at the start, names in lower case, and where the data start after it."""
    with path.open("rb") as stream:
        content = stream.read(_LONGEST_HEADER)
    if nrrd:
        if not content.startswith(b"NRRD000"):
            raise InputError("The file is not an NRRD image", cause="it does not begin with its mark", remedy=AGAIN)
        end = re.search(rb"\r?\n\r?\n", content)
        stop = end.end() if end else len(content)
        separator = ":"
    else:
        end = re.search(rb"ElementDataFile[ \t]*=[^\n]*(\n|$)", content)
        if end is None:
            raise InputError("The file is not a MetaImage", cause="its header does not end", remedy=AGAIN)
        stop, separator = end.end(), "="
    fields = {}
    for line in content[:stop].decode("latin-1").splitlines():
        name, found, value = line.partition(separator)
        if found and not line.startswith("#") and not value.startswith("="):
            fields[name.strip().lower()] = value.strip()
    return fields, stop


def _data_file(path: Path, header: dict[str, str]) -> Path:
    """Return the file that holds the numbers, the image's own or one beside it; InputError if it lies elsewhere."""
    name = next((header[key] for key in ("data file", "datafile", "elementdatafile") if key in header), "LOCAL")
    if name.upper() == "LOCAL":
        return path
    name = name.removeprefix("./")
    if name.split()[:1] == ["LIST"] or "%" in name or "\\" in name or Path(name).name != name:
        raise InputError(
            "The file names data that are not one file beside it",
            cause=f"it names {name[:100]}",
            remedy="Export the image as one file (.nrrd, .mha or .nii.gz)",
        )
    if not (path.parent / name).is_file():
        raise InputError("The file with the image's data is missing", cause=f"it is to be {name[:100]}", remedy=AGAIN)
    return path.parent / name


def _check_data(data: Path, header: dict[str, str], start: int, voxels: int, size: int) -> None:
    """Refuse data of another length than the header says, or that fail their checksum.

    Args:
        start: Where the data start in their file.
        size: Bytes of the numbers, unpacked.
    """
    encoding = header.get("encoding", "gzip" if header.get("compresseddata", "").lower() == "true" else "raw").lower()
    text = encoding in _TEXTS or header.get("binarydata", "true").lower() == "false"
    if encoding in ("gzip", "gz"):
        length = _unpacked_bytes(data, start, size + _PADDING_BYTES)
    elif text or encoding == "raw":
        length = data.stat().st_size - start
    else:
        problem = "The data are packed in a way that cannot be read"
        raise InputError(problem, cause=f"their encoding is {encoding[:40]}", remedy="Export the image as .nii.gz")
    least = voxels if text else size  # a number as text takes a digit at least
    if length < least:
        cause = f"it holds {length} of the {least} bytes of image data that its header announces"
        raise InputError("The file is cut short", cause=cause, remedy=AGAIN)
    skips = any(header.get(key, "0") not in ("0", "") for key in _SKIPS)
    if length > size + _PADDING_BYTES and not text and not skips:
        cause = f"{length - size} bytes or more follow after the image"
        raise InputError("The file is longer than its header says", cause=cause, remedy=AGAIN)


def _unpacked_bytes(path: Path, start: int, most: int) -> int:
    """Return how many bytes gzip or zlib data hold, which compares their checksum; stop after more than `most`."""
    total = 0
    unpack = zlib.decompressobj(wbits=47)  # gzip or zlib, by their first bytes
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            while not unpack.eof and total <= most:
                packed = unpack.unconsumed_tail or stream.read(_CHUNK_BYTES)
                if not packed:
                    cause = "its compressed data end too early"
                    raise InputError("The file is cut short", cause=cause, remedy=AGAIN)
                total += len(unpack.decompress(packed, _CHUNK_BYTES))
    except zlib.error as error:
        cause = f"its compressed data do not pass their check ({error})"
        raise InputError("The file is damaged", cause=cause, remedy=AGAIN) from error
    return total
