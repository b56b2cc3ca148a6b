"""A mixture of experts as a residual block on a feature map."""

from __future__ import annotations

from torch import Tensor, nn

from magpie_core.networks.config import ExpertsConfig
from magpie_core.networks.instance_norm import InstanceNorm
from magpie_core.networks.mixture_of_experts import MixtureOfExperts
from magpie_core.networks.routing import Routing


class ExpertBlock(nn.Module):
    """Residual block whose feed-forward part is a mixture of experts; a token is a voxel of the map.

    Parameters
    ----------
    channels, hidden
        Width of a token, and hidden width of one expert.
    options
        See `MixtureOfExperts`.
    kernel
        Size of a depthwise convolution before the normalization, as in a MedNeXt block; None for none.
    """

    def __init__(
        self, channels: int, hidden: int, options: ExpertsConfig, *, kernel: int | None = None
    ) -> None:
        super().__init__()
        self.depthwise = (
            nn.Identity()
            if kernel is None
            else nn.Conv3d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        )
        self.norm = InstanceNorm(channels)
        self.mixture = MixtureOfExperts(channels, hidden, options)

    def forward(self, features: Tensor, counted: Tensor) -> tuple[Tensor, Routing]:
        """Refine `features` (B, C, D, H, W); `counted` (B, 1, D, H, W) bool marks the tokens that losses count."""
        batch, channels, *size = features.shape
        tokens = self.norm(self.depthwise(features)).permute(0, 2, 3, 4, 1).reshape(-1, channels)
        merged, routing = self.mixture(tokens, counted.flatten())
        merged = merged.reshape(batch, *size, channels).permute(0, 4, 1, 2, 3)
        return features + merged.to(features.dtype), routing
