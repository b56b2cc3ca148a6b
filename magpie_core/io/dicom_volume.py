"""Read one DICOM series as a volume; highdicom reads pixels and geometry."""

from __future__ import annotations

from typing import Any

import numpy as np

from magpie_core.errors import InputError, errors_about
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_series import DicomSeries, import_dicom

_SAME_MM = 0.01
_UNEVEN = 0.05  # of the distance between slices
_AGAIN = "Export the series again from the archive, all of its images"
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_series(series: DicomSeries) -> Volume:
    """Read a series of single images, or one multi-frame file.

    Returns:
        Volume: float32 data with the scanner's rescaling applied; (I, J, K) = slices, rows, columns.

    Raises:
        InputError: If images are missing, repeated, tilted or damaged.
        ResourceError: If pydicom or highdicom is not installed.
    """
    pydicom, highdicom = import_dicom("pydicom"), import_dicom("highdicom")
    options = {"dtype": np.float32, "apply_real_world_transform": False}
    with errors_about(series.label):
        try:
            if series.multi_frame:
                volume = highdicom.imread(series.files[0]).get_volume(**options)
            else:
                datasets = [_completed(pydicom.dcmread(path, force=True), pydicom.uid) for path in series.files]
                _check_stack(datasets)
                volume = highdicom.get_volume_from_series(datasets, orientation_tol=1e-3, rtol=_UNEVEN, **options)
        except InputError:
            raise
        except Exception as error:  # whatever the decoders and the geometry checks of the libraries raise
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError("Cannot read the series as one volume", cause=cause, remedy=_AGAIN) from error
        if volume.array.ndim != 3:
            raise InputError("The series is in color", remedy="Give gray-value images")
    affine = _LPS_TO_RAS @ np.asarray(volume.affine)
    return Volume(np.ascontiguousarray(volume.array, np.float32), affine, series.label)


def _check_stack(datasets: list[Any]) -> None:
    """Refuse gaps and repetitions by name, before the library does so in general."""
    needed = ("ImagePositionPatient", "ImageOrientationPatient")
    missing = [tag for tag in needed if any(not one.get(tag) for one in datasets)]
    if len(datasets) < 2 or missing:
        raise InputError(
            "The series does not state the positions of its images",
            cause=f"{' and '.join(missing)} is missing" if missing else "it is a single image",
            remedy=_AGAIN,
        )
    orientation = np.array(datasets[0].ImageOrientationPatient, float)
    normal = np.cross(orientation[:3], orientation[3:])
    places = np.array([one.ImagePositionPatient for one in datasets], float)
    order = np.argsort(places @ normal)
    depths, places = (places @ normal)[order], places[order]
    gaps = np.diff(depths)
    usual = float(np.median(gaps))
    if gaps.min() < _SAME_MM:
        raise InputError(
            "Two images of the series lie at the same place",
            cause=f"at {depths[int(gaps.argmin())]:.1f} mm along the stack",
            remedy="Export one acquisition alone, without repetitions",
        )
    wide = np.flatnonzero(gaps > (1 + _UNEVEN) * usual)
    if len(wide):
        count = round(sum(gaps[wide] / usual - 1))
        first = int(wide[0])
        raise InputError(
            f"{max(count, 1)} image{'s are' if count > 1 else ' is'} missing in the series",
            cause=f"between {depths[first]:.1f} and {depths[first + 1]:.1f} mm along the stack there is a gap of "
            f"{gaps[first]:.1f} mm, elsewhere {usual:.1f} mm",
            remedy=_AGAIN,
        )
    drift = places[-1] - places[0]
    sideways = np.linalg.norm(drift - (drift @ normal) * normal)
    if sideways > 0.02 * abs(depths[-1] - depths[0]):
        raise InputError(
            "The images of the series are stacked at an angle (gantry tilt)",
            cause=f"the stack runs {sideways:.1f} mm sideways",
            remedy="Export it resampled to a straight stack, as most archives and 3D Slicer can",
        )


def _completed(dataset: Any, uid: Any) -> Any:
    """Fill in what old files leave out: how they are coded, and the frame of reference, one for the series."""
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little is not False else uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else explicit
    if "FrameOfReferenceUID" not in dataset:
        dataset.FrameOfReferenceUID = dataset.SeriesInstanceUID
    return dataset
