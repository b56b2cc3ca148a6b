"""Read images of any format, and write NIfTI files; a faulty file is refused by name, never read in part."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np

from magpie_core.errors import InputError, errors_about
from magpie_core.imaging.volume import Volume
from magpie_core.io.file_names import ITK_ENDINGS, MGH_ENDINGS, NIFTI_ENDINGS
from magpie_core.io.itk_image import read_itk
from magpie_core.io.mgh import read_mgh
from magpie_core.io.nifti_header import Orientation, read_header
from magpie_core.io.raw_image import RawImage, open_content, read_numbers
from magpie_core.storage.atomic import write_bytes

_SINGLE_ENDINGS = (".nii", ".nii.gz", ".nii.zst")
_PAIR_ENDINGS = (".hdr", ".img", ".hdr.gz", ".img.gz")
IMAGE_ENDINGS = (*_SINGLE_ENDINGS, *_PAIR_ENDINGS, *ITK_ENDINGS, *MGH_ENDINGS)
_PADDING_BYTES = 1024  # some writers round the file's length up


def read_volume(path: Path, *, orientation: Orientation | None = None, repair: bool = False) -> Volume:
    """Read an image file (NIfTI, NRRD, MetaImage, MGH; IMAGE_ENDINGS), checked to its last byte.

    Args:
        orientation: Transform to use where sform and qform of a NIfTI file disagree or neither is declared valid.
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
    """Read the numbers of an image file as stored, checked to its last byte; InputError if it is faulty."""
    path = Path(path)
    name = path.name.lower()
    with errors_about(path):
        if name.endswith(_SINGLE_ENDINGS):
            with open_content(path) as stream:
                header = read_header(stream, orientation)
                stream.read(header.gap_bytes)
                data = read_numbers(stream, header.shape, header.dtype, most_excess=_PADDING_BYTES)
            return RawImage(data, header.affine, str(path), header.slope, header.inter)
        if name.endswith(_PAIR_ENDINGS):
            return _read_pair(path, orientation)
        if name.endswith(ITK_ENDINGS):
            found = read_itk(path)
            found.refuse_unknown_orientation()
            return RawImage(found.data, found.affine, str(path))
        if name.endswith(MGH_ENDINGS):
            return read_mgh(path)
        raise _wrong_kind(path)


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


def _read_pair(path: Path, orientation: Orientation | None) -> RawImage:
    """Read a header (.hdr) and its numbers (.img), given by either name."""
    halves = {half: _other_half(path, half) for half in ("hdr", "img")}
    with open_content(halves["hdr"]) as stream:
        header = read_header(stream, orientation, pair=True)
    with open_content(halves["img"]) as stream:
        stream.read(header.gap_bytes)
        data = read_numbers(stream, header.shape, header.dtype, most_excess=_PADDING_BYTES)
    return RawImage(data, header.affine, str(path), header.slope, header.inter)


def _other_half(path: Path, half: str) -> Path:
    """Return the file of a pair that ends in `half`, packed or not, in whatever case."""
    stem = path.name.lower().removesuffix(".gz")[:-3]
    wanted = {f"{stem}{half}", f"{stem}{half}.gz"}
    if path.name.lower() in wanted or not path.exists():
        return path
    found = sorted(other for other in path.parent.iterdir() if other.name.lower() in wanted)
    if not found:
        raise InputError(
            f"The other half of the image, {stem}{half}, is missing",
            cause="a .hdr file and an .img file of one name make one image",
            remedy="Copy both into one folder",
        )
    return found[0]


def _wrong_kind(path: Path) -> InputError:
    if path.is_dir():
        remedy = "Give the .nii or .nii.gz file inside it"
        return InputError("This is a folder, where an image file is expected", remedy=remedy)
    if not path.exists():
        return InputError("The file does not exist", remedy="Check its name and place")
    dicom = path.suffix.lower() in (".dcm", ".ima", "")
    return InputError(
        "Cannot read this type of file",
        cause="it looks like DICOM" if dicom else f"its name ends in '{path.suffix}'",
        remedy="Convert it to NIfTI (.nii.gz), for example with dcm2niix or by saving it from 3D Slicer",
    )
