"""Studies written as DICOM by eight habits of naming: is each series taken for what it is?

    python benchmarks/series_naming.py CASES/train CASES/extra [--only N]

Each case is written as a scanner would export it, in large voxels, with the names of a vendor or language, typical
timing, contrast agent and times of acquisition, between series that are no modality. The table counts what each series
was used as. The exit code is 1 if one was used wrongly, or a study was refused.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.volume import Volume
from magpie_core.io.dicom_study import read_dicom_visit
from magpie_core.io.discovery import read_study

# In the order of acquisition; the agent is injected before the perfusion.
KINDS = ("localizer", "DWI", "ADC", "T2", "FLAIR", "SWI", "T1", "perfusion", "T1CE", "reformat", "subtraction")
USED_AS = ("T1", "T1CE", "T2", "FLAIR", "set aside", "asked", "refused")
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SPIN_ECHO = {"ScanningSequence": "SE", "RepetitionTime": 550, "EchoTime": 10, "FlipAngle": 90}
MPRAGE = {"ScanningSequence": ["GR", "IR"], "RepetitionTime": 1900, "EchoTime": 2.5, "InversionTime": 900}
FSPGR = {"ScanningSequence": "GR", "RepetitionTime": 8.2, "EchoTime": 3.2, "InversionTime": 450, "FlipAngle": 12}
TFE = {"ScanningSequence": "GR", "RepetitionTime": 8.1, "EchoTime": 3.7, "FlipAngle": 8}
TAGS: Mapping[str, Mapping[str, object]] = {
    "localizer": {"ScanningSequence": "GR", "RepetitionTime": 8, "EchoTime": 4},
    "DWI": {"ScanningSequence": "EP", "RepetitionTime": 4200, "EchoTime": 90, "DiffusionBValue": 1000.0},
    "ADC": {"ScanningSequence": "EP", "RepetitionTime": 4200, "EchoTime": 90, "ImageType": ["DERIVED", "PRIMARY"]},
    "T2": {"ScanningSequence": "SE", "RepetitionTime": 5200, "EchoTime": 102, "FlipAngle": 150},
    "FLAIR": {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 9000, "EchoTime": 125, "InversionTime": 2500},
    "SWI": {"ScanningSequence": "GR", "RepetitionTime": 28, "EchoTime": 20, "FlipAngle": 15},
    "perfusion": {"ScanningSequence": "EP", "RepetitionTime": 1500, "EchoTime": 30},
    "reformat": {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"]},
    "subtraction": {"ImageType": ["DERIVED", "SECONDARY"]},
}


class Habit(NamedTuple):
    """How a place names its series.

    Attributes:
        names: Of KINDS; a series with an empty one is not there.
        t1: Timing of T1 and T1CE.
        agent: Of the headers.
        agent_in: Kinds whose headers name the agent.
    """

    names: tuple[str, ...]
    t1: Mapping[str, object]
    agent: str = ""
    agent_in: tuple[str, ...] = ()


# fmt: off
AFTER = KINDS[KINDS.index("perfusion"):]
HABITS = {
    "Siemens": Habit(
        ("AAHead_Scout", "ep2d_diff_3scan_trace_p2_TRACEW", "ep2d_diff_3scan_trace_p2_ADC", "t2_tse_tra",
         "t2_tirm_tra_dark-fluid", "SWI_Images", "t1_mprage_sag_p2_iso", "ep2d_perf_p2", "t1_mprage_sag_p2_iso_KM",
         "t1_mprage_sag_p2_iso_KM_MPR_Cor", "t1_mprage_sag_p2_iso_KM_SUB"), MPRAGE, "Gadovist", AFTER),
    "GE, which names the agent everywhere": Habit(
        ("3-Plane Localizer", "Ax DWI b1000", "Apparent Diffusion Coefficient (mm2/s)", "Ax T2 FRFSE", "Ax T2 FLAIR",
         "Ax SWAN", "Ax T1 FSPGR", "", "Ax T1 FSPGR +C", "Cor T1 FSPGR +C reformat", "(900/1/1)-(700/1/1)"),
        FSPGR, "GAD 8 ML", KINDS),
    "Philips": Habit(
        ("Survey", "DWI_SSh", "dReg - DWI ADC", "T2W_TSE", "FLAIR_longTR", "sVEN_BOLD", "sT1W_3D_TFE", "",
         "T1W_3D_TFE_GD", "sT1W_3D_TFE_GD cor", "sT1W_3D_TFE_GD SUB"), TFE, "YES", AFTER),
    "German": Habit(
        ("Lokalisator", "Diffusion tra", "ADC", "T2 TSE tra", "FLAIR tra", "Hämo tra", "T1 tra nativ", "",
         "T1 tra nach KM", "T1 cor nach KM", "T1 Subtraktion"), SPIN_ECHO),
    "French": Habit(
        ("REPERAGE", "DIFFUSION AX", "ADC", "AX T2", "AX FLAIR", "AX T2 ETOILE", "AX T1 SANS", "", "AX T1 GADO",
         "COR T1 GADO", "SOUSTRACTION T1"), SPIN_ECHO, "NON", KINDS[:7]),
    "Spanish": Habit(
        ("LOCALIZADOR", "DIFUSION", "MAPA ADC", "AX T2 FSE", "AX T2 FLAIR", "AX T2 EG", "AX T1 SIN CONTRASTE", "",
         "AX T1 CON CONTRASTE", "COR T1 CON CONTRASTE", "SUSTRACCION T1"), SPIN_ECHO),
    "no words, the agent alone": Habit(
        tuple(f"Serie {number}" for number in range(7)) + ("", "Serie 8", "Serie 9", "SUB"),
        SPIN_ECHO, "Dotarem", AFTER),
    "no words, the time alone": Habit(
        ("localizer", "dwi_tra", "adc", "t2_tra", "flair_tra", "swi_tra", "t1_tra", "dsc_tra", "t1_tra", "t1_tra",
         "t1_tra_sub"), SPIN_ECHO),
}
# fmt: on


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, nargs="+", help="folders of cases")
    parser.add_argument("--only", type=int, help="the first cases of each folder alone")
    options = parser.parse_args()
    folders = [
        path
        for root in options.cases
        for path in sorted(path for path in root.iterdir() if path.is_dir())[: options.only]
    ]
    total: Counter[tuple[str, str]] = Counter()
    print("| habit | studies | wrong |\n|---|---|---|")
    cases = [reduced(read_study(folder).volumes) for folder in folders]
    for name, habit in HABITS.items():
        seen: Counter[tuple[str, str]] = Counter()
        for volumes in cases:
            with tempfile.TemporaryDirectory() as folder:
                seen.update(used_as(volumes, habit, Path(folder)))
        total += seen
        print(f"| {name} | {len(cases)} | {sum(count for pair, count in seen.items() if not is_right(*pair))} |")
    print(f"\n| given | {' | '.join(USED_AS)} |\n|{'---|' * (len(USED_AS) + 1)}")
    for given in KINDS:
        print(f"| {given} | {' | '.join(str(total[given, found] or '') for found in USED_AS)} |")
    return int(not all(is_right(*pair) for pair in total))


def is_right(given: str, found: str) -> bool:
    """Whether a series was used as what it is."""
    return found == (given if given in USED_AS else "set aside")


def reduced(volumes: Mapping[Modality, Volume]) -> dict[str, Volume]:
    """Return the whole head in voxels of about 4 x 4 x 5 mm, with values that DICOM can hold."""
    small = {}
    for modality, volume in volumes.items():
        steps = np.maximum(np.round(np.array([4, 4, 5]) / np.linalg.norm(volume.affine[:3, :3], axis=0)), 1).astype(int)
        data = volume.data[tuple(slice(None, None, step) for step in steps)].astype(np.float64)
        data = np.round((data - data.min()) / max(np.ptp(data), 1e-6) * 4000)
        small[modality.value] = Volume(data.astype(np.float32), volume.affine @ np.diag([*steps, 1]))
    return small


def used_as(volumes: Mapping[str, Volume], habit: Habit, folder: Path) -> list[tuple[str, str]]:
    """Write a study and read it; return what each series is and what it was used as."""
    written = write_study(volumes, habit, folder)
    try:
        found = read_dicom_visit(folder).found
    except InputError as error:
        return [(kind, "asked" if "open" in str(error) else "refused") for kind in written.values()]
    used = {int(row.label.split()[1]): row.modality.value for row in found if row.use == "used" and row.modality}
    return [(kind, used.get(number, "set aside")) for number, kind in written.items()]


def write_study(volumes: Mapping[str, Volume], habit: Habit, folder: Path) -> dict[int, str]:
    """Write a study; return the kind of each series by its number."""
    study_uid, written = generate_uid(), {}
    for place, (kind, name) in enumerate(zip(KINDS, habit.names, strict=True)):
        volume = _content(kind, volumes)
        if not name or volume is None:
            continue
        number = (place + 1) * 100 if kind in ("reformat", "subtraction") else place + 1
        acquired = 32400 + 240 * min(place, KINDS.index("T1CE"))
        tags = {
            "StudyInstanceUID": study_uid,
            "FrameOfReferenceUID": study_uid,
            "SeriesNumber": number,
            "SeriesDescription": name,
            "ImageType": ["ORIGINAL", "PRIMARY", "M"],
            "AcquisitionTime": f"{acquired // 3600:02d}{acquired // 60 % 60:02d}{acquired % 60:02d}",
            **(habit.t1 if kind in ("T1", "T1CE", "reformat", "subtraction") else {}),
            **TAGS.get(kind, {}),
            **({"ContrastBolusAgent": habit.agent} if kind in habit.agent_in else {}),
        }
        for repetition in range(3 if kind == "perfusion" else 1):
            _write_series(volume, folder, tags, repetition)
        written[number] = kind
    return written


def _content(kind: str, volumes: Mapping[str, Volume]) -> Volume | None:
    """Return the image of a kind; for what is no modality one that has about its extent."""
    if kind in ("T1", "T1CE", "T2", "FLAIR"):
        return volumes.get(kind)
    if kind not in ("reformat", "subtraction"):
        return volumes["FLAIR"]
    pre, post = volumes.get("T1"), volumes.get("T1CE")
    if post is None or (kind == "subtraction" and pre is None):
        return None
    if pre is not None and kind == "subtraction":
        return Volume(np.maximum(post.data - pre.data, 0), post.affine)
    return Volume(post.data.transpose(0, 2, 1), post.affine[:, [0, 2, 1, 3]])


def _write_series(volume: Volume, folder: Path, tags: Mapping[str, object], repetition: int) -> None:
    affine = LPS @ volume.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    along = affine[:3, :3] / spacing
    uid = generate_uid(entropy_srcs=[str(tags["StudyInstanceUID"]), str(tags["SeriesNumber"])])
    for k, pixels in enumerate(volume.data.astype(np.uint16).transpose(2, 1, 0)):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SpecificCharacterSet = "ISO_IR 192"
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = MRImageStorage
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        image.PatientID, image.StudyDate, image.Modality = "naming", "20240102", "MR"
        image.SeriesInstanceUID, image.InstanceNumber = uid, repetition * volume.data.shape[2] + k + 1
        for name, value in tags.items():
            setattr(image, name, value)
        image.ImagePositionPatient = [float(f"{value:.6f}") for value in affine[:3, 3] + k * affine[:3, 2]]
        image.ImageOrientationPatient = [round(float(value), 6) for value in (*along[:, 0], *along[:, 1])]
        image.PixelSpacing = [float(f"{value:.6f}") for value in (spacing[1], spacing[0])]
        image.SliceThickness = float(f"{spacing[2]:.6f}")
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
        image.Rows, image.Columns = pixels.shape
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.PixelData = pixels.tobytes()
        path = folder / f"{int(str(tags['SeriesNumber'])):04d}_{repetition}_{k:03d}.dcm"
        pydicom.dcmwrite(path, image, enforce_file_format=True)


if __name__ == "__main__":
    sys.exit(main())
