"""Run a network on a whole brain: sliding-window patches, blended, with optional flip test-time augmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor
from torch.nn import functional as F

from magpie_core.inference.prediction import RoutingCapture
from magpie_core.networks.build import Network
from magpie_core.networks.device import Device


@dataclass(frozen=True)
class PatchOptions:
    """Sliding-window patches.

    Attributes:
        size: Largest patch (D, H, W), voxels; a brain that fits is one patch.
        overlap: Fraction by which neighboring patches overlap.
        flip: Average with the forward pass of the left-right flipped brain (test-time augmentation).
    """

    size: tuple[int, int, int] = (192, 224, 192)
    overlap: float = 0.5
    flip: bool = True


def region_probabilities(
    network: Network,
    images: np.ndarray,
    modalities: Sequence[str],
    device: Device,
    options: PatchOptions,
    progress: Callable[[float], None] | None = None,
    capture: RoutingCapture | None = None,
) -> np.ndarray:
    """Return probabilities of the network's regions (K, D, H, W) float32 for scaled images (S, D, H, W), RAS order.

    `progress` gets the fraction of patches done and may raise Cancelled. `capture` is filled with the
    routing.
    """
    strides: tuple[int, ...] = () if capture is None else getattr(network.config, "expert_strides", ())
    stride = network.config.stride
    size = images.shape[1:]
    padded = [-(-n // stride) * stride for n in size]
    patch_size = [min(n, largest // stride * stride) for n, largest in zip(padded, options.size, strict=True)]
    batch = F.pad(
        torch.from_numpy(np.ascontiguousarray(images))[None],
        [amount for n, p in zip(size[::-1], padded[::-1], strict=True) for amount in (0, p - n)],
    )
    step = [max(1, int(n * (1 - options.overlap))) for n in patch_size]
    count = int(np.prod([-(-max(p - n, 0) // s) + 1 for p, n, s in zip(padded, patch_size, step, strict=True)]))
    done = 0

    def forward(patch: Tensor) -> list[Tensor]:
        output = network(patch, modalities)
        grids = [[n // stride for n in patch.shape[2:]] for stride in strides]
        maps = [
            routing.probabilities.T.reshape(1, -1, *grid) for routing, grid in zip(output.routing, grids, strict=False)
        ]
        return [output.logits.float(), *maps]

    def predict(patch: Tensor) -> Tensor | tuple[Tensor, ...]:
        nonlocal done
        with device.autocast():
            found = forward(patch)
            if options.flip:
                flipped = [maps.flip(2) for maps in forward(patch.flip(2))]
                found = [(one + other) / 2 for one, other in zip(found, flipped, strict=True)]
        done += 1
        if progress:
            progress(min(1.0, done / count))
        return tuple(found) if strides else found[0]

    network.to(device.name)
    with torch.inference_mode():
        found = sliding_window_inference(
            batch.to(device.name), patch_size, 1, predict, overlap=options.overlap, mode="gaussian"
        )
        logits, *maps = [found] if isinstance(found, Tensor) else list(found)
        assert isinstance(logits, Tensor)
        probabilities: np.ndarray = logits[0].sigmoid().cpu().numpy()
        if capture is not None:
            capture.layers = [layer[0].cpu().numpy() for layer in maps]
            capture.strides = strides
            capture.names = getattr(network.config, "expert_layers", ())
    return probabilities[:, : size[0], : size[1], : size[2]]
