"""Sparse convolution by masking: a network that neither uses nor fills masked voxels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from magpie_core.networks.mednext_block import MedNeXtBlock
from magpie_core.networks.mixture_of_experts import ExpertBlock
from magpie_core.networks.multi_scale_attention import MultiScaleDeformableAttention
from magpie_core.networks.stem import ChannelAgnosticStem, FixedStem

_SPREADING = (nn.Conv3d, ChannelAgnosticStem, FixedStem, MedNeXtBlock, ExpertBlock, MultiScaleDeformableAttention)


class SparseMasking:
    """Keeps masked voxels zero in every feature map of some modules (SparK, arXiv 2301.03580).

    Whatever spreads or fills features - a convolution, a stem, a block with its biases - is multiplied with the mask at
    the map's resolution, and instance normalization takes its statistics over visible voxels alone. In a dense network
    the zeros would shift the statistics, and each layer would fill more of the masked voxels.

    Args:
        parts: Modules, with all their submodules; they are not masked while `visible` is None.

    Attributes:
        visible: (B, 1, D, H, W) float, 1 where visible; set before a forward pass and kept until its backward pass is
            over.
    """

    def __init__(self, *parts: nn.Module) -> None:
        self._visible: Tensor | None = None
        self._by_size: dict[tuple[int, ...], Tensor] = {}
        self._handles: list[RemovableHandle] = []
        for part in parts:
            for module in part.modules():
                if isinstance(module, (nn.GroupNorm, nn.InstanceNorm3d)):
                    self._handles.append(module.register_forward_hook(self._normalize))
                elif isinstance(module, _SPREADING):
                    self._handles.append(module.register_forward_hook(self._mask))

    def remove(self) -> None:
        """Remove the hooks from the modules."""
        for handle in self._handles:
            handle.remove()

    @property
    def visible(self) -> Tensor | None:
        """Return the mask at full resolution."""
        return self._visible

    @visible.setter
    def visible(self, mask: Tensor | None) -> None:
        self._visible = mask
        self._by_size = {}

    def at(self, features: Tensor) -> Tensor:
        """Return the mask at the resolution of a map (B, C, D, H, W)."""
        assert self._visible is not None
        size = tuple(features.shape[2:])
        if size not in self._by_size:
            self._by_size[size] = F.adaptive_max_pool3d(self._visible, size)
        return self._by_size[size]

    def _mask(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        if self._visible is None:
            return None
        if isinstance(output, tuple):
            features, *others = output
            return (features * self.at(features).to(features.dtype), *others)
        return output * self.at(output).to(output.dtype)

    def _normalize(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if self._visible is None:
            return None
        (features,) = inputs
        assert isinstance(module, nn.InstanceNorm3d) or (
            isinstance(module, nn.GroupNorm) and module.num_groups == module.num_channels
        )
        visible = self.at(features)
        return visible_norm(features, visible, module.weight, module.bias, module.eps).to(output.dtype)


def visible_norm(features: Tensor, visible: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Apply instance normalization to (B, C, D, H, W), with mean and variance over visible voxels; the rest stays 0.

    `features` are zero where `visible` (B, 1, D, H, W), 0 or 1, is; `weight` and `bias` are (C,). In float32.
    """
    with torch.autocast(features.device.type, enabled=False):
        space = (2, 3, 4)
        features, visible = features.float(), visible.float()
        count = visible.sum(dim=space, keepdim=True).clamp_min(1.0)
        mean = features.sum(dim=space, keepdim=True) / count
        variance = features.square().sum(dim=space, keepdim=True) / count - mean.square()
        scale = weight[:, None, None, None] * (variance.clamp_min(0.0) + eps).rsqrt()
        offset = bias[:, None, None, None] - mean * scale
        return torch.addcmul(offset * visible, features, scale)
