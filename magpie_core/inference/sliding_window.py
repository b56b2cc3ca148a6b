"""The network over a whole brain: sliding windows, blended, with optional mirrored looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor
from torch.nn import functional as F

from magpie_core.inference.routing_capture import RoutingCapture
from magpie_core.networks.build import Network
from magpie_core.networks.device import Device


@dataclass(frozen=True)
class PatchOptions:
    """How the brain is covered.

    Attributes
    ----------
    window
        Largest window (D, H, W); a brain that fits is looked at in one piece.
    overlap
        Share by which neighboring windows overlap.
    mirrored
        Average with a look at the left-right mirrored brain.
    """

    window: tuple[int, int, int] = (192, 224, 192)
    overlap: float = 0.5
    mirrored: bool = True


def region_probabilities(
    network: Network,
    images: np.ndarray,
    modalities: Sequence[str],
    device: Device,
    options: PatchOptions,
    progress: Callable[[float], None] | None = None,
    capture: RoutingCapture | None = None,
) -> np.ndarray:
    """Probabilities of the network's regions (K, D, H, W) float32 for scaled images (S, D, H, W), RAS order.

    `progress` gets the share of windows done and may raise Cancelled. `capture` is filled with what the routers of a
    network with `expert_strides` decided.
    """
    strides: tuple[int, ...] = () if capture is None else getattr(network.config, "expert_strides", ())
    stride = network.config.stride
    size = images.shape[1:]
    padded = [-(-n // stride) * stride for n in size]
    window = [min(n, largest // stride * stride) for n, largest in zip(padded, options.window, strict=True)]
    batch = F.pad(
        torch.from_numpy(np.ascontiguousarray(images))[None],
        [amount for n, p in zip(size[::-1], padded[::-1], strict=True) for amount in (0, p - n)],
    )
    step = [max(1, int(w * (1 - options.overlap))) for w in window]
    count = int(np.prod([-(-max(p - w, 0) // s) + 1 for p, w, s in zip(padded, window, step, strict=True)]))
    done = 0

    def pass_over(patch: Tensor) -> list[Tensor]:
        output = network(patch, modalities)
        grids = [[n // stride for n in patch.shape[2:]] for stride in strides]
        maps = [
            routing.probabilities.T.reshape(1, -1, *grid)
            for routing, grid in zip(output.routing, grids, strict=False)
        ]
        return [output.logits.float(), *maps]

    def look(patch: Tensor) -> Tensor | tuple[Tensor, ...]:
        nonlocal done
        with device.autocast():
            seen = pass_over(patch)
            if options.mirrored:
                mirrored = [maps.flip(2) for maps in pass_over(patch.flip(2))]
                seen = [(one + other) / 2 for one, other in zip(seen, mirrored, strict=True)]
        done += 1
        if progress:
            progress(min(1.0, done / count))
        return tuple(seen) if strides else seen[0]

    network.to(device.name)
    with torch.inference_mode():
        found = sliding_window_inference(
            batch.to(device.name), window, 1, look, overlap=options.overlap, mode="gaussian"
        )
        logits, *maps = [found] if isinstance(found, Tensor) else list(found)
        assert isinstance(logits, Tensor)
        probabilities: np.ndarray = logits[0].sigmoid().cpu().numpy()
        if capture is not None:
            capture.layers = [layer[0].cpu().numpy() for layer in maps]
            capture.strides = strides
            capture.names = getattr(network.config, "expert_layers", ())
    return probabilities[:, : size[0], : size[1], : size[2]]
