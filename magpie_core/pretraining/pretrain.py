"""Pretrain a network without labels: masked autoencoding and a contrastive loss."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from magpie_core.errors import InputError
from magpie_core.networks.build import Network
from magpie_core.networks.device import choose_precision
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.masked_autoencoder import MaskedAutoencoder
from magpie_core.pretraining.pretraining_step import PretrainingStep
from magpie_core.pretraining.validator import PretrainingValidator
from magpie_core.training.callbacks import Evaluation
from magpie_core.training.loop import Progress, optimize
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.sample import SampleSource

_WRONG_IN_BF16 = 2  # oneDNN 3.x: weight gradients of a 3^3 convolution at depth 2 are arbitrary numbers


def pretrain(
    network: Network,
    source: SampleSource,
    folder: Path,
    options: LoopOptions,
    *,
    config: PretrainingConfig | None = None,
    validation_source: SampleSource | None = None,
    validate_every: int = 250,
    device: str = "cpu",
    on_progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Pretrain `network` in place at its backbone's resolution; resume from `folder` if it holds a checkpoint.

    Args:
        validation_source: Samples for the validation; those of `source` by default.
        validate_every: Steps between validations and their pictures; 0 for none.

    Returns:
        dict: The network's EMA weights: stem, encoder and, without a light decoder, decoder. Its region heads are
            unchanged.
    """
    config = config or PretrainingConfig()
    # The autoencoder's own parameters are initialized alike for the same seed, in every rank.
    torch.manual_seed(options.seed)
    autoencoder = MaskedAutoencoder(network, config)
    coarsest = config.view_size[0] * network.config.backbone_stride // network.config.stride
    in_bf16 = choose_precision(device, options.precision) == "bf16"
    if coarsest == _WRONG_IN_BF16 and in_bf16 and torch.device(device).type == "cpu":
        raise InputError(
            f"Cannot pretrain on views of {' x '.join(map(str, config.view_size))} voxels in bf16 on a CPU",
            cause=f"the coarsest feature map is {_WRONG_IN_BF16} voxels wide, where oneDNN's gradients are wrong",
            remedy="Use a larger view, or --precision fp32",
        )
    training_step = PretrainingStep(source, config, network.config.modalities, device)
    callbacks = []
    if validate_every:
        validator = PretrainingValidator(validation_source or source, config, autoencoder.network.config, folder)
        callbacks.append(Evaluation(validator.measure, validate_every))
    try:
        weights = optimize(
            autoencoder, training_step, folder, options, callbacks=callbacks, device=device, on_progress=on_progress
        )
    finally:
        autoencoder.release()
    return {name.removeprefix("network."): value for name, value in weights.items() if name.startswith("network.")}
