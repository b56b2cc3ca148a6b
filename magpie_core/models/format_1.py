"""Models of format 1, written by versions up to 0.5: current names of their keys and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

_KEYS = {
    "licence": "license",
    "sequences": "modalities",
    "body_stride": "backbone_stride",
    "detail_channels": "refinement_channels",
    "renormalise": "renormalize",
    "least_uptake": "minimum_uptake_sd",
}
_MODULES = {"detail": "refinement_head"}
T = TypeVar("T")


def upgrade_description(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the keys of a model.yaml of format 1, nested ones included; the training record is kept."""
    return {
        _KEYS.get(key, key): upgrade_description(value) if key != "training" and isinstance(value, Mapping) else value
        for key, value in values.items()
    }


def upgrade_weights(weights: Mapping[str, T]) -> dict[str, T]:
    """Rename the weights of a model of format 1."""
    # A network may contain others: "members.0.detail.stem.kernels".
    return {".".join(_MODULES.get(part, part) for part in name.split(".")): weights[name] for name in weights}
