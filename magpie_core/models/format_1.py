"""Models written by versions up to 0.5: their keys and the names of their weights, in today's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

_KEYS = {
    "licence": "license",
    "sequences": "modalities",
    "body_stride": "backbone_stride",
    "detail_channels": "refinement_channels",
    "renormalise": "renormalize",
}
_WEIGHTS = {"detail.": "refinement_head."}
T = TypeVar("T")


def upgrade_description(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the keys of a model.yaml of format 1, those of its network included; the training record stays."""
    return {
        _KEYS.get(key, key): upgrade_description(value)
        if key != "training" and isinstance(value, Mapping)
        else value
        for key, value in values.items()
    }


def upgrade_weights(weights: Mapping[str, T]) -> dict[str, T]:
    """Rename the weights of a model of format 1."""
    return {_renamed(name): tensor for name, tensor in weights.items()}


def _renamed(name: str) -> str:
    for old, new in _WEIGHTS.items():
        # A network may hold others: "members.0.detail.stem.kernels".
        before, found, after = name.rpartition(f".{old}") if f".{old}" in name else ("", "", "")
        if name.startswith(old):
            return new + name[len(old) :]
        if found:
            return f"{before}.{new}{after}"
    return name
