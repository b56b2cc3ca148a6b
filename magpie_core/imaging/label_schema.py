"""What the integers in a mask mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import numpy as np

from magpie_core.errors import InputError


class Tissue(str, Enum):
    """A kind of tumor tissue that a mask distinguishes."""

    NCR = "NCR"
    ED = "ED"
    ET = "ET"
    RC = "RC"

    def __str__(self) -> str:
        return self.value

    @property
    def label(self) -> str:
        """Plain name."""
        return _LABELS[self.value]

    @property
    def code(self) -> tuple[str, str, str]:
        """Coding scheme, value and meaning, as in DICOM."""
        return _CODES[self.value]

    @property
    def color(self) -> tuple[int, int, int]:
        """RGB, 0 to 255."""
        return _COLORS[self.value]


class Region(str, Enum):
    """A region that is scored: enhancing tumor, tumor core, whole tumor."""

    ET = "ET"
    TC = "TC"
    WT = "WT"

    def __str__(self) -> str:
        return self.value

    @property
    def label(self) -> str:
        """Plain name."""
        return {"ET": "Enhancing tumor", "TC": "Tumor core", "WT": "Whole tumor"}[self.value]


REGION_TISSUES: Mapping[Region, tuple[Tissue, ...]] = MappingProxyType(
    {
        Region.ET: (Tissue.ET,),
        Region.TC: (Tissue.NCR, Tissue.ET),
        Region.WT: (Tissue.NCR, Tissue.ED, Tissue.ET),
    }
)

_LABELS = {
    "NCR": "Necrotic or non-enhancing core",
    "ED": "Edema or FLAIR hyperintensity",
    "ET": "Enhancing tumor",
    "RC": "Resection cavity",
}
_CODES = {
    "NCR": ("SCT", "6574001", "Necrosis"),
    "ED": ("SCT", "79654002", "Edema"),
    "ET": ("NCIt", "C113842", "Enhancing Lesion"),
    "RC": ("99MAGPIE", "RC", "Resection Cavity"),
}
_COLORS = {"NCR": (216, 191, 216), "ED": (140, 224, 228), "ET": (230, 90, 60), "RC": (120, 120, 200)}


@dataclass(frozen=True)
class LabelSchema:
    """Which integer stands for which tissue; 0 is background.

    Attributes
    ----------
    name
        What the schema is called.
    labels
        Integer (1 to 255) -> tissue, each tissue once.

    Raises
    ------
    InputError
        If an integer is out of range or a tissue occurs twice.
    """

    name: str
    labels: Mapping[int, Tissue]

    def __post_init__(self) -> None:
        labels = {int(value): Tissue(tissue) for value, tissue in sorted(self.labels.items())}
        if any(not 1 <= value <= 255 for value in labels) or len(set(labels.values())) != len(labels):
            raise InputError(
                "The label schema is not valid",
                cause="each tissue needs one integer between 1 and 255",
                source=self.name,
            )
        object.__setattr__(self, "labels", MappingProxyType(labels))

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.labels.items())))

    def __reduce__(self) -> tuple[type, tuple[str, dict[int, Tissue]]]:
        return type(self), (self.name, dict(self.labels))

    def __str__(self) -> str:
        return (
            f"{self.name} ({', '.join(f'{value} {tissue.value}' for value, tissue in self.labels.items())})"
        )

    def value(self, tissue: Tissue) -> int:
        """The integer of a tissue (KeyError if the schema lacks it)."""
        return {known: number for number, known in self.labels.items()}[tissue]

    def region_mask(self, labels: np.ndarray, region: Region) -> np.ndarray:
        """Voxels that belong to a region, bool, the shape of `labels`."""
        return self.tissue_mask(labels, REGION_TISSUES[Region(region)])

    def tissue_mask(self, labels: np.ndarray, tissues: Tissue | Iterable[Tissue]) -> np.ndarray:
        """Voxels that belong to a tissue, or to any of several; bool, the shape of `labels`."""
        wanted = {tissues} if isinstance(tissues, Tissue) else set(tissues)
        return _among(labels, [value for value, tissue in self.labels.items() if tissue in wanted])

    def check(self, labels: np.ndarray, *, source: str = "") -> None:
        """Refuse integers that the schema does not know.

        Raises
        ------
        InputError
            With the integers, and the schemas that would fit them.
        """
        known = _among(labels, [0, *self.labels])
        if known.all():
            return
        strange = np.unique(labels[~known])
        present = set(np.unique(labels).tolist()) - {0}
        fitting = [schema.name for schema in SCHEMAS.values() if present and present <= set(schema.labels)]
        shown = ", ".join(f"{value:g}" for value in strange[:8]) + (", ..." if len(strange) > 8 else "")
        raise InputError(
            f"The mask holds labels that the schema {self} does not know: {shown}",
            cause="it was made with another label schema, or is not a mask",
            remedy=f"Name its schema; {' or '.join(fitting)} would fit these labels"
            if fitting
            else "Name the schema it was made with",
            source=source,
        )

    def convert(self, labels: np.ndarray, to: LabelSchema) -> np.ndarray:
        """The same mask in another schema, uint8.

        Raises
        ------
        InputError
            If a label is unknown, or its tissue has no integer in the other schema.
        """
        self.check(labels)
        targets = {tissue: value for value, tissue in to.labels.items()}
        converted = np.zeros(labels.shape, np.uint8)
        for value, tissue in self.labels.items():
            here = labels == value
            if tissue in targets:
                converted[here] = targets[tissue]
            elif here.any():
                raise InputError(
                    f"The schema {to} has no label for {tissue.label.lower()}",
                    cause=f"the mask holds it as label {value} ({self})",
                    remedy="Choose a schema that has it, or remove it from the mask",
                )
        return converted


SCHEMAS: Mapping[str, LabelSchema] = MappingProxyType(
    {
        schema.name: schema
        for schema in (
            LabelSchema("magpie", {1: Tissue.NCR, 2: Tissue.ED, 3: Tissue.ET}),
            LabelSchema("brats-2022", {1: Tissue.NCR, 2: Tissue.ED, 4: Tissue.ET}),
            LabelSchema("brats-2023", {1: Tissue.NCR, 2: Tissue.ED, 3: Tissue.ET}),
            LabelSchema("brats-2024", {1: Tissue.NCR, 2: Tissue.ED, 3: Tissue.ET, 4: Tissue.RC}),
            LabelSchema("msd", {1: Tissue.ED, 2: Tissue.NCR, 3: Tissue.ET}),
        )
    }
)


def label_schema(name: str) -> LabelSchema:
    """The schema of that name.

    Raises
    ------
    InputError
        If there is none; lists those there are.
    """
    try:
        return SCHEMAS[name]
    except KeyError:
        raise InputError(
            f"There is no label schema called '{name}'",
            remedy="Choose one of " + "; ".join(str(schema) for schema in SCHEMAS.values()),
        ) from None


def _among(labels: np.ndarray, values: list[int]) -> np.ndarray:
    found = np.zeros(labels.shape, bool)
    for value in values:
        found |= labels == value
    return found
