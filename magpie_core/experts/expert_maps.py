"""Where each expert was asked, on the study's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from magpie_core.errors import InputError
from magpie_core.imaging.geometry import Geometry
from magpie_core.inference.routing_capture import RoutingCapture
from magpie_core.preprocessing.model_grid import ModelGridStudy, to_native

FULL = 255

Layer = int | str
"""Which mixture of experts: its number or its name, "finest" or "mean"; see `expert_maps`."""


@dataclass(frozen=True, eq=False)
class ExpertMaps:
    """Probability with which each expert was asked.

    Attributes
    ----------
    values
        (E, I, J, K) uint8 on the native grid of the study's reference, 255 for 1; 0 outside the brain.
    geometry
        That grid.
    token_mm
        Size of a token, the smallest one's of several layers; nothing finer can be seen in the maps.
    """

    values: np.ndarray
    geometry: Geometry
    token_mm: float

    @property
    def experts(self) -> int:
        """Number of experts."""
        return len(self.values)

    def dominant(self) -> np.ndarray:
        """(I, J, K) uint8: 1 + the expert that was asked most, 0 outside the brain."""
        most: np.ndarray = self.values.argmax(axis=0).astype(np.uint8) + np.uint8(1)
        return np.where(self.values.any(axis=0), most, 0).astype(np.uint8)


def expert_maps(capture: RoutingCapture, layer: Layer = "finest") -> ExpertMaps:
    """Bring what was captured to the native grid, by world coordinates.

    Parameters
    ----------
    capture
        As `segment_study` filled it.
    layer
        Number or name of the mixture of experts (`capture.names`): the encoder's finest first, then the decoder's;
        "finest" for the one with the smallest tokens, the last of several; "mean" for the mean of all. Experts of
        different layers have nothing to do with each other but where they are asked, so that for the mean those of each
        layer are matched, one layer after another, to the sum of those before by the correlation of their maps.

    Raises
    ------
    InputError
        If the network has no experts, or there is no such layer.
    """
    check_layer(capture.names if capture.working is not None else (), layer)
    assert capture.working is not None
    chosen = layers_meant(capture, layer)
    brain = to_native(capture.working.brain[None].astype(np.float32), capture.working)[0] >= 0.5
    total: np.ndarray | None = None
    for index in chosen:
        coarse = _on_tokens(capture.working, capture.layers[index], capture.strides[index])
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
    token_mm = capture.working.spacing_mm * min(capture.strides[index] for index in chosen)
    return ExpertMaps(values, capture.working.native, token_mm)


def layer_of(text: str) -> Layer:
    """A layer as it is written."""
    return int(text) if text.isdecimal() else text


def check_layer(names: Sequence[str], layer: Layer) -> None:
    """Refuse a layer that a network whose mixtures of experts have these names does not have (InputError)."""
    if not names:
        raise InputError(
            "The experts cannot be shown",
            cause="this model has none, or is made of several networks",
            remedy="Use a model with a mixture of experts, such as magpie-s",
        )
    if layer not in ("finest", "mean", *names, *range(len(names))):
        raise InputError(
            f"This model has no part {str(layer)!r} with experts",
            cause="it has " + ", ".join(f"{name!r} (number {number})" for number, name in enumerate(names)),
            remedy="Choose one of these by name or number, or finest, or mean",
        )


def layers_meant(capture: RoutingCapture, layer: Layer) -> list[int]:
    """Numbers of the layers that `layer` stands for."""
    if layer == "mean":
        return list(range(len(capture.strides)))
    if layer == "finest":
        return [max(range(len(capture.strides)), key=lambda index: (-capture.strides[index], index))]
    return [capture.names.index(layer) if isinstance(layer, str) else layer]


def match_experts(reference: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """For each expert of `reference` (E, ...) the expert of `maps` whose map correlates best, each taken once."""
    count = len(reference)
    thinned = [one[::4, ::4, ::4].ravel().astype(float) for side in (reference, maps) for one in side]
    correlation = np.nan_to_num(np.corrcoef(np.stack(thinned))[:count, count:])
    order: np.ndarray = linear_sum_assignment(-correlation)[1]
    return order


def _on_tokens(working: ModelGridStudy, layer: np.ndarray, stride: int) -> ModelGridStudy:
    """A grid whose voxels are tokens; the network's padding lies beyond the far ends."""
    affine = working.affine.copy()
    affine[:3, :3] *= stride
    affine[:3, 3] += working.affine[:3, :3] @ np.full(3, (stride - 1) / 2)
    return replace(working, brain=np.ones(layer.shape[1:], bool), affine=affine)
