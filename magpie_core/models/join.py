"""Join models of one modality each into a mixture of modality experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from magpie_core.errors import ModelError
from magpie_core.models.model import load_model, save_model
from magpie_core.networks.config import MomeConfig, NetworkConfig
from magpie_core.networks.mome_net import MomeNet


def join_experts(folders: Sequence[Path], target: Path, *, mode: str = "study", seed: int = 0) -> None:
    """Write a model to `target` whose experts are the models in `folders`; its gate is randomly initialized.

    The models take one modality each and have otherwise the same network. `mode` is that of `MomeConfig`, `seed` that
    of the gate's weights.

    Raises:
        ModelError: If a model takes several modalities, two take the same, or their networks differ.
    """
    models = [load_model(folder) for folder in folders]
    networks: dict[str, NetworkConfig] = {}
    for model in models:
        config = model.network.config
        if not isinstance(config, NetworkConfig) or len(config.modalities) != 1:
            raise ModelError(
                "Cannot join this model: it must take one modality",
                cause=f"it takes {', '.join(config.modalities)}",
                remedy="Train one model per modality with --modality",
                source=str(model.folder),
            )
        name = config.modalities[0]
        if name in networks:
            raise ModelError(
                f"Cannot join two models for {name}", remedy="Give one model per modality", source=str(model.folder)
            )
        networks[name] = config
    names = tuple(networks)
    alike = {replace(config, modalities=names) for config in networks.values()}
    if len(alike) != 1:
        raise ModelError(
            "Cannot join the models",
            cause="their networks differ in more than the modality",
            remedy="Train them with the same --network",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MomeNet(MomeConfig(alike.pop(), mode))
    for name, model in zip(names, models, strict=True):
        network.experts[name].load_state_dict(model.network.state_dict())
    # The most restrictive license holds for the whole.
    licenses = sorted({model.description.license for model in models}, key=lambda text: text == "Apache-2.0")
    description = replace(
        models[0].description,
        name="mome",
        license=licenses[0],
        network=network.config.to_dict(),
        training={"data": "joined experts, gate not trained", "experts": [model.hash for model in models]},
    )
    card = f"# mome\n\nExperts for {', '.join(names)}; the gate is not trained. Research use only.\n"
    save_model(target, description, network.state_dict(), card=card)
