"""Label maps in the formats that segmentation programs write: NIfTI, NRRD, MetaImage, DICOM SEG."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError, errors_about
from magpie_core.imaging.glioma import Tissue
from magpie_core.io.dicom_files import import_dicom, list_dicom_files
from magpie_core.io.file_names import ITK_ENDINGS, is_nifti
from magpie_core.io.itk_image import read_itk
from magpie_core.io.label_declarations import tissue_of
from magpie_core.io.nifti import read_raw

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_INTEGER = 1e-3  # how far a number may be from an integer: compressed floats and scale factors are not exact
_OTHER = (
    "Export it as one three-dimensional label map (.nii.gz, .nrrd, .mha) on the grid of one of the images (3D Slicer: "
    "Segmentations, Export to files)"
)


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A label map as stored.

    Attributes:
        labels: (I, J, K) numbers.
        affine: (4, 4), voxel index -> RAS mm.
        integers: What the file itself says that they mean.
        unknown: Names of segments that are no tissue of a glioma, by their integers.
    """

    labels: np.ndarray
    affine: np.ndarray
    integers: dict[int, Tissue] = field(default_factory=dict)
    unknown: dict[int, str] = field(default_factory=dict)


def read_label_map(path: Path) -> LabelMap:
    """Read a label map of any of the formats.

    Raises:
        InputError: If the file is faulty, of another kind, or holds segments that overlap.
        ResourceError: If the package that reads its format is missing.
    """
    with errors_about(path):
        if is_nifti(path):
            found = _read_nifti(path)
        elif path.name.lower().endswith(ITK_ENDINGS):
            found = _read_itk(path)
        elif path.is_dir() or path.suffix.lower() in (".dcm", ".ima", ""):
            found = _read_dicom(path)
        else:
            read_raw(path)  # which says what is wrong
            raise AssertionError("read_raw refuses what is no NIfTI file")
        labels = found.labels
        if labels.ndim != 3 or labels.dtype.kind not in "biuf":
            cause = f"its size is {' x '.join(map(str, labels.shape))}, its type {labels.dtype.name}"
            raise InputError("The file is not a segmentation", cause=cause, remedy=_OTHER)
    if labels.dtype.kind == "f":
        rounded = np.rint(labels)
        with np.errstate(invalid="ignore"):
            close = np.abs(labels - rounded).max(initial=0) < _INTEGER
        labels = rounded.astype(np.int32) if close and np.abs(rounded).max(initial=0) < 1 << 30 else labels
    return LabelMap(labels, found.affine, found.integers, found.unknown)


def _read_nifti(path: Path) -> LabelMap:
    raw = read_raw(path)
    labels: np.ndarray = raw.data
    if (raw.slope, raw.inter) != (1.0, 0.0) and labels.dtype.kind in "iuf":
        labels = labels.astype(np.float64) * raw.slope + raw.inter
    return LabelMap(labels, raw.affine)


def _read_itk(path: Path) -> LabelMap:
    image = read_itk(path)
    data, header = image.data, image.fields
    if image.dimension != 3:
        return LabelMap(data, np.eye(4))
    layers = data.reshape(*data.shape[:3], -1)
    segments = [
        (header.get(f"Segment{number}_Name", ""), header.get(f"Segment{number}_Tags", ""), *place)
        for number in range(len(header))
        if (place := _place(header, number)) is not None
    ]
    if layers.shape[3] == 1:
        return _with_segments(layers[..., 0], image.affine, {v: (n, tags) for n, tags, _, v in segments})
    if not segments:
        return LabelMap(data, np.eye(4))
    # Layers hold segments that may overlap; each segment gets its place in the list, as in an exported label map.
    labels = np.zeros(data.shape[:3], np.uint8)
    named = {}
    for integer, (name, tags, layer, value) in enumerate(segments, 1):
        here = layers[..., layer] == value
        _refuse_overlap(bool((labels[here] > 0).any()))
        labels[here] = integer
        named[integer] = (name, tags)
    return _with_segments(labels, image.affine, named)


def _place(header: dict[str, str], number: int) -> tuple[int, int] | None:
    """Return layer and integer of a segment of a .seg.nrrd file."""
    try:
        return int(header.get(f"Segment{number}_Layer", "0")), int(header[f"Segment{number}_LabelValue"])
    except (KeyError, ValueError):
        return None


def _read_dicom(path: Path) -> LabelMap:
    pydicom, highdicom = import_dicom("pydicom"), import_dicom("highdicom")
    if not path.exists():
        raise InputError("The file does not exist", remedy="Check its name and place")
    try:
        headers = {
            file: pydicom.dcmread(file, specific_tags=["Modality"], force=True) for file in list_dicom_files(path)
        }
        files = [file for file, header in headers.items() if header.get("Modality") == "SEG"]
        if len(files) != 1:
            raise InputError(
                "There must be one DICOM segmentation" if path.is_dir() else "The file is not a DICOM segmentation",
                cause=f"there are {len(files)}" if path.is_dir() else "",
                remedy=_OTHER if not files else "Name the file",
            )
        segmentation = highdicom.seg.segread(files[0])
        volume = segmentation.get_volume(combine_segments=True)
        named = {
            int(number): (str(one.segment_label), f"~~{kind.scheme_designator}^{kind.value}^{kind.meaning}")
            for number in segmentation.segment_numbers
            for one in [segmentation.get_segment_description(number)]
            for kind in [one.segmented_property_type]
        }
    except InputError:
        raise
    except Exception as error:  # whatever the library and its decoders raise
        _refuse_overlap("overlap" in str(error).lower(), error)
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError("Cannot read the DICOM segmentation", cause=cause, remedy=_OTHER) from error
    return _with_segments(np.asarray(volume.array), _LPS_TO_RAS @ np.asarray(volume.affine), named)


def _with_segments(labels: np.ndarray, affine: np.ndarray, named: dict[int, tuple[str, str]]) -> LabelMap:
    """Return a label map with the tissues of its segments, by their codes, else by their names."""
    codes = {tissue.code[:2]: tissue for tissue in Tissue}
    tissues = {}
    for value, (name, tags) in named.items():
        parts = [tuple(part.split("^")[:2]) for part in tags.split("~")]
        tissues[value] = next((codes[part] for part in parts if part in codes), None) or tissue_of(name)
    return LabelMap(
        labels,
        affine,
        {value: tissue for value, tissue in tissues.items() if tissue is not None},
        {value: named[value][0] for value, tissue in tissues.items() if tissue is None},
    )


def _refuse_overlap(overlap: bool, error: Exception | None = None) -> None:
    if overlap:
        raise InputError(
            "Segments of the segmentation overlap",
            cause="a voxel has one tissue",
            remedy="Remove the overlap (in 3D Slicer's Segment Editor: Masking, Modify other segments: overwrite all), "
            "or export the segmentation as one label map",
        ) from error
