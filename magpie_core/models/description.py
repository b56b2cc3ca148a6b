"""What model.yaml says of a model; read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from magpie_core.errors import ModelError
from magpie_core.imaging.label_schema import LabelSchema, label_schema
from magpie_core.models.format_1 import upgrade_description

FORMAT = 2
DESCRIPTION_NAME = "model.yaml"
WEIGHTS_NAME = "weights.safetensors"
CARD_NAME = "card.md"


@dataclass(frozen=True)
class Postprocessing:
    """How probabilities become regions.

    Attributes
    ----------
    thresholds
        Probability above which a voxel belongs to ET, TC, WT.
    minimum_volume_ml
        Smallest total volume of each region; less is called none (enhancing tumor becomes core).
    minimum_component_ml
        Smallest connected part of the whole tumor; less is dropped.
    interval_thresholds
        Region -> a stricter and a laxer threshold, between whose volumes nine in ten true volumes lay where they were
        chosen; only the regions for which there is such a pair.
    least_uptake
        Where T1 and T1ce are there: how many standard deviations brighter than expected the brightest tenth of the
        enhancing tumor must be; else it becomes core. 0 for no such rule.
    """

    thresholds: tuple[float, float, float] = (0.5, 0.5, 0.5)
    minimum_volume_ml: tuple[float, float, float] = (0.0, 0.0, 0.0)
    minimum_component_ml: float = 0.0
    least_uptake: float = 0.0
    interval_thresholds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", tuple(self.thresholds))
        object.__setattr__(self, "minimum_volume_ml", tuple(self.minimum_volume_ml))
        pairs = {
            name: (float(strict), float(lax)) for name, (strict, lax) in self.interval_thresholds.items()
        }
        object.__setattr__(self, "interval_thresholds", pairs)


@dataclass(frozen=True)
class ModelDescription:
    """The contents of model.yaml.

    Attributes
    ----------
    name, version
        What the model is called, and its edition.
    license
        License of the weights (SPDX identifier).
    network
        Keys of `networks.NetworkConfig`, or of `networks.MomeConfig`.
    spacing_mm
        Voxel size of the network's input.
    schema
        Name of the label schema of the result.
    postprocessing
        From probabilities to regions.
    training
        Free record: data, commands, seeds, measured figures.
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
        """The label schema of the result."""
        return label_schema(self.schema)

    def write(self, path: Path) -> None:
        """Write as YAML."""
        plain = _plain({"format": FORMAT, **asdict(self)})
        path.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")


def read_description(folder: Path) -> ModelDescription:
    """Read model.yaml of a model folder; unknown keys are refused.

    Raises
    ------
    ModelError
        If it cannot be read or says something this version does not know.
    """
    path = folder / DESCRIPTION_NAME
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(
            "The model's description cannot be read", cause=str(error), source=str(path)
        ) from error
    written = values.pop("format", None) if isinstance(values, dict) else None
    if written not in (1, FORMAT):
        raise ModelError(
            "The model's description has another format than this version reads",
            cause=f"'format: {FORMAT}' is expected",
            remedy="Use the version of MAGPIE that the model was made with",
            source=str(path),
        )
    try:
        if written == 1:
            values = upgrade_description(values)
        values["postprocessing"] = _build(Postprocessing, values.get("postprocessing", {}))
        return _build(ModelDescription, values)
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            "The model's description is not valid", cause=str(error), source=str(path)
        ) from error


def _build(kind: type, values: Mapping[str, Any]) -> Any:
    unknown = sorted(set(values) - {item.name for item in fields(kind)})
    if unknown:
        raise ValueError(f"unknown keys: {', '.join(unknown)}")
    return kind(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
