"""Description of a model, model.yaml; read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from magpie_core.errors import ModelError
from magpie_core.imaging.label_schema import LabelSchema, label_schema
from magpie_core.models.format_1 import upgrade_description
from magpie_core.storage.config import from_plain, read_mapping, to_plain

FORMAT = 2
DESCRIPTION_NAME = "model.yaml"
WEIGHTS_NAME = "weights.safetensors"
CARD_NAME = "card.md"


@dataclass(frozen=True)
class Postprocessing:
    """Rules from probabilities to regions.

    Attributes:
        thresholds: Probability above which a voxel belongs to ET, TC, WT.
        minimum_volume_ml: Minimum total volume of ET, TC, WT; a smaller region is removed (enhancing tumor becomes
            core).
        minimum_component_ml: Minimum volume of a connected component of the whole tumor; smaller ones are removed.
        interval_thresholds: Region -> a higher and a lower threshold, whose volumes enclosed nine in ten reference
            volumes of the cases they were chosen on; only regions with such a pair.
        minimum_uptake_sd: With T1 and T1ce: standard deviations by which the brightest tenth of the enhancing tumor
            must exceed the T1ce expected from T1; else it becomes core. 0 for no such rule.
    """

    thresholds: tuple[float, float, float] = (0.5, 0.5, 0.5)
    minimum_volume_ml: tuple[float, float, float] = (0.0, 0.0, 0.0)
    minimum_component_ml: float = 0.0
    minimum_uptake_sd: float = 0.0
    interval_thresholds: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelDescription:
    """Contents of model.yaml.

    Attributes:
        name, version: Name and edition of the model.
        license: License of the weights (SPDX identifier).
        network: Keys of a configuration that `networks.build.read_config` reads.
        spacing_mm: Voxel size of the network's input.
        schema: Name of the label schema of the result.
        postprocessing: Rules from probabilities to regions.
        training: Free record: data, commands, seeds, measured values.
    """

    name: str
    version: str
    license: str
    network: Mapping[str, Any]
    spacing_mm: float = 1.0
    schema: str = "magpie"
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label_schema(self) -> LabelSchema:
        """Label schema of the result."""
        return label_schema(self.schema)

    def write(self, path: Path) -> None:
        """Write as YAML."""
        import yaml

        plain = {"format": FORMAT, **to_plain(self)}
        path.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")


def read_description(folder: Path) -> ModelDescription:
    """Read the model.yaml of a model folder, also as versions up to 0.5 wrote it.

    Raises:
        ModelError: If it cannot be read, or has unknown keys or invalid values.
    """
    path = folder / DESCRIPTION_NAME
    try:
        values = read_mapping(path)
        written = values.pop("format", None)
        if written not in (1, FORMAT):
            raise ValueError(f"it has format {written}, this version of MAGPIE reads up to format {FORMAT}")
        return from_plain(ModelDescription, upgrade_description(values) if written == 1 else values)
    except ValueError as error:
        raise ModelError(
            "Cannot read the model's description",
            cause=str(error),
            remedy="Use the version of MAGPIE that wrote the model, or install it again; if it is the version in use, "
            "roll back (magpie models rollback; panel: Roll back)",
            source=str(path),
        ) from error
