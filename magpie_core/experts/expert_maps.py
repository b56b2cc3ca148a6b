"""Maps of the experts' routing probabilities on the study's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from magpie_core.errors import InputError
from magpie_core.imaging.geometry import Geometry
from magpie_core.inference.prediction import RoutingCapture
from magpie_core.preprocessing.model_grid import ModelGridStudy, to_native

FULL = 255

Layer = int | str
"""A mixture of experts by its number or name, or "finest" or "mean"; see `expert_maps`."""


@dataclass(frozen=True, eq=False)
class ExpertMaps:
    """Probability of routing to each expert.

    Attributes:
        values: (E, I, J, K) uint8 on the native grid of the study's reference, 255 for 1; 0 outside the brain.
        token_mm: Size of a token, of the smallest in several layers: the resolution of the maps.
    """

    values: np.ndarray
    geometry: Geometry
    token_mm: float

    @property
    def experts(self) -> int:
        """Number of experts."""
        return len(self.values)

    def dominant(self) -> np.ndarray:
        """Return 1 + the dominant expert of each voxel, (I, J, K) uint8; 0 outside the brain."""
        expert: np.ndarray = self.values.argmax(axis=0).astype(np.uint8) + np.uint8(1)
        return np.where(self.values.any(axis=0), expert, 0).astype(np.uint8)


def expert_maps(capture: RoutingCapture, layer: Layer = "finest") -> ExpertMaps:
    """Resample the captured routing to the native grid, by world coordinates.

    Args:
        capture: Routing captured by `segment_study`.
        layer: Number or name of the mixture of experts (`capture.names`): the encoder's finest first, then the
            decoder's; "finest" for the one with the smallest tokens, the last of several; "mean" for the mean of all.
            Experts of different layers are unrelated: for the mean, those of each layer are matched to the sum of the
            layers before by the correlation of their maps.

    Raises:
        InputError: If the network has no experts, or there is no such layer.
    """
    check_layer(capture.names if capture.grid is not None else (), layer)
    assert capture.grid is not None
    chosen = resolve_layers(capture, layer)
    brain = to_native(capture.grid.brain[None].astype(np.float32), capture.grid)[0] >= 0.5
    total: np.ndarray | None = None
    for index in chosen:
        coarse = _on_tokens(capture.grid, capture.layers[index], capture.strides[index])
        maps = np.stack(
            [
                np.rint(to_native(one[None], coarse)[0].clip(0, 1) * FULL).astype(np.uint8) * brain
                for one in capture.layers[index]
            ]
        )
        if total is None:
            total = maps if len(chosen) == 1 else maps.astype(np.uint16)
        else:
            total += maps[match_experts(total, maps)]
    assert total is not None
    values = total if len(chosen) == 1 else np.rint(total / len(chosen)).astype(np.uint8)
    token_mm = capture.grid.spacing_mm * min(capture.strides[index] for index in chosen)
    return ExpertMaps(values, capture.grid.native, token_mm)


def parse_layer(text: str) -> Layer:
    """Parse a layer from text."""
    return int(text) if text.isdecimal() else text


def check_layer(names: Sequence[str], layer: Layer) -> None:
    """Check that a network whose mixtures of experts have these names has the layer, else InputError."""
    if not names:
        raise InputError(
            "Cannot show the experts",
            cause="this model has none, or consists of several networks",
            remedy="Use a model with a mixture of experts, such as magpie-s",
        )
    if layer not in ("finest", "mean", *names, *range(len(names))):
        raise InputError(
            f"This model has no layer {str(layer)!r} of experts",
            cause="it has " + ", ".join(f"{name!r} (number {number})" for number, name in enumerate(names)),
            remedy="Choose one of these by name or number, or finest, or mean",
        )


def resolve_layers(capture: RoutingCapture, layer: Layer) -> list[int]:
    """Return the numbers of the layers that `layer` stands for."""
    if layer == "mean":
        return list(range(len(capture.strides)))
    if layer == "finest":
        return [max(range(len(capture.strides)), key=lambda index: (-capture.strides[index], index))]
    return [capture.names.index(layer) if isinstance(layer, str) else layer]


def match_experts(reference: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Assign one expert of `maps` to each of `reference` (E, ...) so that the maps correlate best."""
    count = len(reference)
    subsampled = [one[::4, ::4, ::4].ravel().astype(float) for side in (reference, maps) for one in side]
    correlation = np.nan_to_num(np.corrcoef(np.stack(subsampled))[:count, count:])
    return np.asarray(linear_sum_assignment(-correlation)[1])


def _on_tokens(grid: ModelGridStudy, layer: np.ndarray, stride: int) -> ModelGridStudy:
    """Return the grid of the tokens; the network's padding lies beyond its far ends."""
    affine = grid.affine.copy()
    affine[:3, :3] *= stride
    affine[:3, 3] += grid.affine[:3, :3] @ np.full(3, (stride - 1) / 2)
    return replace(grid, brain=np.ones(layer.shape[1:], bool), affine=affine)
