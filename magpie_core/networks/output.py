"""What a network gives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from magpie_core.networks.routing import Routing


@dataclass(frozen=True)
class NetworkOutput:
    """Logits and what training needs beside them.

    Attributes
    ----------
    logits
        (B, K, D, H, W), one channel per region.
    deep_logits
        Logits of coarser stages for deep supervision, each half the size of the one before.
    routing
        One for each expert block: the encoder's, then the decoder's, each finest stage first.
    own
        For a mixture of modality experts: each expert's own output on its own modality.
    """

    logits: Tensor
    deep_logits: tuple[Tensor, ...] = ()
    routing: tuple[Routing, ...] = ()
    own: tuple[NetworkOutput, ...] = ()
