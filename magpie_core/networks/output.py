"""Output of a network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from magpie_core.networks.routing import Routing


@dataclass(frozen=True)
class NetworkOutput:
    """Logits, and what training needs besides them.

    Attributes:
        logits: (B, K, D, H, W), one channel per region.
        deep_logits: Logits of coarser stages for deep supervision, each half the size of the one before.
        routing: One for each expert block: the encoder's, then the decoder's, each finest stage first.
        expert_outputs: For a mixture of modality experts: output of each expert on its own modality.
    """

    logits: Tensor
    deep_logits: tuple[Tensor, ...] = ()
    routing: tuple[Routing, ...] = ()
    expert_outputs: tuple[NetworkOutput, ...] = ()
