"""Label schemas: which integer of a segmentation stands for which tissue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.glioma import LABELS, Region, Tissue


@dataclass(frozen=True)
class LabelSchema:
    """Which integer stands for which tissue; 0 is background.

    Attributes:
        labels: Integer (1 to 255) -> tissue, each tissue once.

    Raises:
        InputError: If an integer is out of range or a tissue occurs twice.
    """

    name: str
    labels: Mapping[int, Tissue]

    def __post_init__(self) -> None:
        labels = {int(value): Tissue(tissue) for value, tissue in sorted(self.labels.items())}
        if any(not 1 <= value <= 255 for value in labels) or len(set(labels.values())) != len(labels):
            cause = "each tissue needs one integer between 1 and 255"
            raise InputError("The label schema is not valid", cause=cause, source=self.name)
        object.__setattr__(self, "labels", MappingProxyType(labels))

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.labels.items())))

    def __reduce__(self) -> tuple[type, tuple[str, dict[int, Tissue]]]:
        return type(self), (self.name, dict(self.labels))

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(f'{value} {tissue.value}' for value, tissue in self.labels.items())})"

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: name, and per label its tissue, code and color."""
        return {
            "name": self.name,
            "labels": [
                {
                    "value": value,
                    "tissue": tissue.value,
                    "name": tissue.label,
                    "code": dict(zip(("scheme", "value", "meaning"), tissue.code, strict=True)),
                    "color": list(tissue.color),
                }
                for value, tissue in self.labels.items()
            ],
        }

    def value(self, tissue: Tissue) -> int:
        """Return the integer of a tissue (KeyError if the schema lacks it)."""
        return {known: number for number, known in self.labels.items()}[tissue]

    def region_mask(self, labels: np.ndarray, part: Tissue | Region) -> np.ndarray:
        """Return the voxels of a tissue or region, bool, the shape of `labels`."""
        tissues = part.tissues if isinstance(part, Region) else (part,)
        return np.isin(labels, [value for value, tissue in self.labels.items() if tissue in tissues])

    def check(self, labels: np.ndarray) -> None:
        """Raise InputError, with the schemas that would fit, if the schema does not know every integer."""
        known = np.isin(labels, [0, *self.labels])
        if known.all():
            return
        unknown = np.unique(labels[~known])
        present = set(np.unique(labels).tolist()) - {0}
        fitting = [str(schema) for schema in SCHEMAS.values() if present and present <= set(schema.labels)]
        shown = ", ".join(f"{value:g}" for value in unknown[:8]) + (", ..." if len(unknown) > 8 else "")
        raise InputError(
            f"The segmentation holds labels that the schema {self} does not know: {shown}",
            cause="it was made with another label schema, or is not a segmentation",
            remedy="Name its schema (command line: --schema)"
            + (
                f"; {' or '.join(fitting)} would fit these labels: the data set's description says which"
                if fitting
                else ""
            ),
        )

    def convert(self, labels: np.ndarray, to: LabelSchema) -> np.ndarray:
        """Convert labels to another schema, uint8 (InputError if one is unknown, or its tissue is not there)."""
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
    """Return the schema of that name (InputError, which lists the known ones, if there is none)."""
    if name not in SCHEMAS:
        known = "; ".join(str(schema) for schema in SCHEMAS.values())
        raise InputError(f"There is no label schema called '{name}'", remedy=f"Choose one of {known}")
    return SCHEMAS[name]
