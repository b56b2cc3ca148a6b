"""Read every DICOM series below FOLDER as MAGPIE does and as dcm2niix does, and print where they differ.

Example: python benchmarks/compare_with_dcm2niix.py collections/dcm_qa

Needs the package dcm2niix (development only). Volumes are compared in world coordinates: the corners to 1e-3 mm, and
the values.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import dcm2niix
import nibabel
import numpy as np

from magpie_core.errors import MagpieError
from magpie_core.imaging.reorientation import Reorientation
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_series import DicomSeries, list_series
from magpie_core.io.dicom_volume import read_series

SAME_MM = 1e-3
SAME_VALUE = 1e-5  # of the largest value: files hold single precision
LONGEST_S = 300


def main() -> None:
    """Print a row for each stack and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder of DICOM files, or of collections")
    parser.add_argument("--differences", action="store_true", help="print only the stacks that are not equal")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    found, unread = list_series(options.folder)
    by_series: dict[tuple[str, str], list[DicomSeries]] = defaultdict(list)
    for series in found:
        by_series[series.study_uid, series.uid].append(series)
    for stacks in by_series.values():
        references = converted([path for series in stacks for path in series.files])
        for series in stacks:
            verdict, detail = compare(series, references)
            counts[verdict] += 1
            if verdict != "equal" or not options.differences:
                print(f"{verdict:10} {vendor(series):8} {series.folder[-40:]:40} {series.label}: {detail}", flush=True)
    for row in unread:
        print(f"{'unused':10} {'':8} {row.label}: {row.reason}")
    print(dict(counts), f"{len(unread)} rows of unused files")


def vendor(series: DicomSeries) -> str:
    """Return the maker of the scanner, one word."""
    import pydicom

    header = pydicom.dcmread(series.files[0], specific_tags=["Manufacturer"], stop_before_pixels=True, force=True)
    return str(header.get("Manufacturer") or "unknown").split()[0].lower()[:8]


def converted(paths: list[Path]) -> list[Volume]:
    """Return every three-dimensional volume that dcm2niix makes of some files."""
    with tempfile.TemporaryDirectory() as name:
        given, made = Path(name, "in"), Path(name, "out")
        given.mkdir()
        made.mkdir()
        for number, path in enumerate(dict.fromkeys(paths)):
            (given / f"{number:06d}.dcm").symlink_to(path.resolve())
        command = [dcm2niix.bin, "-b", "n", "-z", "n", "-p", "n", "-f", "%s_%e_%t", "-o", made, given]
        try:
            subprocess.run(command, capture_output=True, timeout=LONGEST_S, check=False)
        except subprocess.TimeoutExpired:
            return []
        volumes = []
        for path in sorted(made.glob("*.nii")):
            image = nibabel.load(path)
            if image.ndim < 3 or image.get_data_dtype().names:
                continue
            data = np.asarray(image.get_fdata(dtype=np.float32))
            data = data.reshape(*data.shape[:3], -1)
            try:
                volumes += [Volume(data[..., k], image.affine, path.name) for k in range(min(data.shape[3], 400))]
            except MagpieError:
                continue
        return volumes


def compare(series: DicomSeries, references: list[Volume]) -> tuple[str, str]:
    """Return "equal", "differs", "refused" or "alone" (dcm2niix makes none), and what was seen."""
    try:
        ours = canonical(read_series(series))
    except MagpieError as error:
        return "refused", f"{error.what}: {error.cause} (dcm2niix: {shapes(references)})"
    if not references:
        return "alone", f"{ours.shape}"
    best = ("differs", f"{ours.shape}, dcm2niix: {shapes(references)}")
    for reference in map(canonical, references):
        if reference.shape != ours.shape:
            continue
        apart_mm = float(np.abs(ours.geometry.corners_mm() - reference.geometry.corners_mm()).max())
        wrong = np.abs(ours.data - reference.data) > SAME_VALUE * max(float(np.abs(reference.data).max()), 1e-9)
        if apart_mm <= SAME_MM and not wrong.any():
            return "equal", f"{ours.shape}"
        if not wrong.any() or best[1].startswith("("):
            best = ("differs", f"corners {apart_mm:.4f} mm apart, {int(wrong.sum())} of {wrong.size} voxels differ")
    return best


def canonical(volume: Volume) -> Volume:
    """Return a volume with its axes nearest to right, anterior, superior."""
    turned = Reorientation.of(volume.geometry)
    return Volume(turned.apply(volume.data), turned.geometry.affine, volume.source)


def shapes(volumes: list[Volume]) -> str:
    """Return the sizes of volumes, each once, with their number."""
    counted = Counter(volume.shape for volume in volumes)
    return ", ".join(f"{count} of {shape}" for shape, count in counted.items()) or "none"


if __name__ == "__main__":
    main()
