"""Endings of the files that can be read, and what their names say."""

from __future__ import annotations

import re
from pathlib import Path

from magpie_core.series.file_name import FileName, read_file_name

NIFTI_ENDINGS = (".nii.gz", ".nii")
ITK_ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")
MGH_ENDINGS = (".mgz", ".mgh", ".mgh.gz")
LABEL_ENDINGS = (*NIFTI_ENDINGS, *ITK_ENDINGS, ".dcm")
_ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".iso")
_IMAGE_ENDINGS = (*NIFTI_ENDINGS, ".nii.zst", ".hdr", ".hdr.gz", *ITK_ENDINGS, *MGH_ENDINGS)
_ENDING = re.compile("|".join(f"{re.escape(end)}$" for end in _IMAGE_ENDINGS), re.IGNORECASE)


def is_nifti(path: Path) -> bool:
    """Whether the name ends as a NIfTI file's does and is not hidden."""
    return path.name.lower().endswith(NIFTI_ENDINGS) and not path.name.startswith(".")


def is_image(path: Path) -> bool:
    """Whether the name ends as that of a file that may hold an image does and is not hidden.

    Of two files that hold one image together, the one with the header counts.
    """
    return bool(_ENDING.search(path.name)) and not path.name.startswith(".")


def is_archive(path: Path) -> bool:
    """Whether the name ends as that of a file into which others are packed."""
    return path.name.lower().endswith(_ARCHIVES) and path.is_file()


def is_label_map(path: Path) -> bool:
    """Whether the name ends as that of a file that may hold a segmentation does and is not hidden."""
    return path.name.lower().endswith(LABEL_ENDINGS) and not path.name.startswith(".")


def label_stem(path: Path) -> str:
    """Return the name of a segmentation's file without its ending; "x.seg.nrrd" keeps its mark: "x.seg"."""
    return next((path.name[: -len(end)] for end in LABEL_ENDINGS if path.name.lower().endswith(end)), path.stem)


def stem(path: Path) -> str:
    """Return the name without the ending of an image file."""
    return _ENDING.sub("", path.name)


def read_name(path: Path) -> FileName:
    """Return modality and subject from a file's name."""
    return read_file_name(stem(path))
