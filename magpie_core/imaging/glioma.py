"""The tissues and regions of a glioma: label integers, names, codes and colors, here alone.

Slicer's color tables and terminology in `Resources` repeat them, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any


class Tissue(str, Enum):
    """A tissue that a segmentation labels; a voxel has one.

    Attributes:
        label: Display name.
        code: Coding scheme, value and meaning, as in DICOM.
        color: RGB, 0 to 255.
    """

    label: str
    code: tuple[str, str, str]
    color: tuple[int, int, int]

    def __new__(cls, value: str, label: str = "", code: Any = (), color: Any = ()) -> Tissue:
        member = str.__new__(cls, value)
        member._value_, member.label, member.code, member.color = value, label, code, color
        return member

    NCR = "NCR", "Necrotic or non-enhancing core", ("SCT", "6574001", "Necrosis"), (216, 191, 216)
    ED = "ED", "Edema or FLAIR hyperintensity", ("SCT", "79654002", "Edema"), (140, 224, 228)
    ET = "ET", "Enhancing tumor", ("NCIt", "C113842", "Enhancing Lesion"), (230, 90, 60)
    RC = "RC", "Resection cavity", ("99MAGPIE", "RC", "Resection Cavity"), (120, 120, 200)

    def __str__(self) -> str:
        return self._value_


class Region(str, Enum):
    """A region that is scored, made of tissues; regions nest: ET in TC in WT.

    Attributes:
        label: Display name.
        tissues: What it is made of.
    """

    label: str
    tissues: tuple[Tissue, ...]

    def __new__(cls, value: str, label: str = "", tissues: tuple[Tissue, ...] = ()) -> Region:
        member = str.__new__(cls, value)
        member._value_, member.label, member.tissues = value, label, tissues
        return member

    ET = "ET", "Enhancing tumor", (Tissue.ET,)
    TC = "TC", "Tumor core", (Tissue.NCR, Tissue.ET)
    WT = "WT", "Whole tumor", (Tissue.NCR, Tissue.ED, Tissue.ET)

    def __str__(self) -> str:
        return self._value_


LABELS: Mapping[str, Mapping[int, Tissue]] = MappingProxyType(
    {
        "magpie": {1: Tissue.NCR, 2: Tissue.ED, 3: Tissue.ET},
        "brats-2022": {1: Tissue.NCR, 2: Tissue.ED, 4: Tissue.ET},
        "brats-2023": {1: Tissue.NCR, 2: Tissue.ED, 3: Tissue.ET},
        "brats-2024": {1: Tissue.NCR, 2: Tissue.ED, 3: Tissue.ET, 4: Tissue.RC},
        "msd": {1: Tissue.ED, 2: Tissue.NCR, 3: Tissue.ET},
    }
)
"""Integers of each label schema; "magpie" is the schema of the networks."""
