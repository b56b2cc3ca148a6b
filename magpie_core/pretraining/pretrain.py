"""Pretraining without labels: masked autoencoding and contrast, for weights that a segmentation network starts from."""

from __future__ import annotations

from collections.abc import Callable
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
from magpie_core.training.loop import optimize
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.sample_source import SampleSource

_NOT_IN_BF16 = 2  # oneDNN 3.x: weight gradients of a 3^3 convolution at depth 2 are arbitrary numbers


def pretrain(
    network: Network,
    source: SampleSource,
    folder: Path,
    options: LoopOptions,
    *,
    recipe: PretrainingConfig | None = None,
    held_out: SampleSource | None = None,
    pictures_every: int = 250,
    device: str = "cpu",
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
) -> dict[str, Tensor]:
    """Pretrain `network` in place at its body's resolution; resumes from `folder` if it holds a checkpoint.

    Parameters
    ----------
    source
        Samples; labels play no part.
    folder
        Run folder; pictures are drawn into it too.
    recipe
        Ours by default.
    held_out
        Samples for the pictures and the error that goes with them; those of `source` by default.
    pictures_every
        Steps between pictures of reconstructions and of the training's course; 0 for none.
    options, device, on_progress
        See `optimize`.

    Returns
    -------
    dict
        The network's averaged weights: stem, encoder and, unless the decoder was a light one, decoder. Its region
        heads are as they were.

    Raises
    ------
    InputError, ModelError, ResourceError
        As `MaskedAutoencoder` and `optimize`.
    """
    recipe = recipe or PretrainingConfig()
    # What only pretraining needs starts alike for the same seed, in every process.
    torch.manual_seed(options.seed)
    autoencoder = MaskedAutoencoder(network, recipe)
    coarsest = recipe.box[0] * network.config.backbone_stride // network.config.stride
    in_bf16 = choose_precision(device, options.precision) == "bf16"
    if coarsest == _NOT_IN_BF16 and in_bf16 and torch.device(device).type == "cpu":
        raise InputError(
            f"A box of {' x '.join(map(str, recipe.box))} voxels cannot be pretrained on in bf16 on a processor",
            cause=f"its coarsest map is {_NOT_IN_BF16} voxels wide, where the library's gradients are wrong",
            remedy="Use a larger box, or --precision fp32",
        )
    take_step = PretrainingStep(source, recipe, network.config.modalities, device)
    watch = (
        PretrainingValidator(
            held_out or source, recipe, autoencoder.network.config, folder, every_steps=pictures_every
        )
        if pictures_every
        else None
    )
    try:
        weights = optimize(
            autoencoder, take_step, folder, options, watch=watch, device=device, on_progress=on_progress
        )
    finally:
        autoencoder.release()
    return MaskedAutoencoder.network_weights(weights)
