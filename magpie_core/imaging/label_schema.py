"""Label schemas: which integer of a segmentation stands for which tissue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import LABELS, Region, Tissue


@dataclass(frozen=True)
class LabelSchema:
    """Which integer stands for which tissue; 0 is background.

    Attributes:
        name: Name of the schema.
        labels: Integer (1 to 255) -> tissue, each tissue once.

    Raises:
        InputError: If an integer is out of range or a tissue occurs twice.
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
        return f"{self.name} ({', '.join(f'{value} {tissue.value}' for value, tissue in self.labels.items())})"

    def value(self, tissue: Tissue) -> int:
        """Return the integer of a tissue (KeyError if the schema lacks it)."""
        return {known: number for number, known in self.labels.items()}[tissue]

    def region_mask(self, labels: np.ndarray, region: Region) -> np.ndarray:
        """Return the voxels of a region, bool, the shape of `labels`."""
        return self.tissue_mask(labels, Region(region).tissues)

    def tissue_mask(self, labels: np.ndarray, tissues: Tissue | Iterable[Tissue]) -> np.ndarray:
        """Return the voxels of a tissue, or of any of several; bool, the shape of `labels`."""
        wanted = {tissues} if isinstance(tissues, Tissue) else set(tissues)
        return _among(labels, [value for value, tissue in self.labels.items() if tissue in wanted])

    def check(self, labels: np.ndarray, *, source: str = "") -> None:
        """Check that the schema knows every integer.

        Raises:
            InputError: With the integers, and the schemas that would fit them.
        """
        known = _among(labels, [0, *self.labels])
        if known.all():
            return
        unknown = np.unique(labels[~known])
        present = set(np.unique(labels).tolist()) - {0}
        fitting = [schema.name for schema in SCHEMAS.values() if present and present <= set(schema.labels)]
        shown = ", ".join(f"{value:g}" for value in unknown[:8]) + (", ..." if len(unknown) > 8 else "")
        raise InputError(
            f"The segmentation holds labels that the schema {self} does not know: {shown}",
            cause="it was made with another label schema, or is not a segmentation",
            remedy=f"Name its schema; {' or '.join(fitting)} would fit these labels"
            if fitting
            else "Name the schema it was made with",
            source=source,
        )

    def convert(self, labels: np.ndarray, to: LabelSchema) -> np.ndarray:
        """Convert a segmentation to another schema, uint8.

        Raises:
            InputError: If a label is unknown, or its tissue has no integer in the other schema.
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
                    cause=f"the segmentation holds it as label {value} ({self})",
                    remedy="Choose a schema that has it, or remove it from the segmentation",
                )
        return converted


SCHEMAS: Mapping[str, LabelSchema] = MappingProxyType(
    {name: LabelSchema(name, labels) for name, labels in LABELS.items()}
)


def label_schema(name: str) -> LabelSchema:
    """Return the schema of that name.

    Raises:
        InputError: If there is none; the message lists the known ones.
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
