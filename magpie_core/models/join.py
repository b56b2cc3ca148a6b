"""One mixture of modality experts from models of one modality each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from magpie_core.errors import ModelError
from magpie_core.models.model import load_model, save_model
from magpie_core.networks.config import NetworkConfig
from magpie_core.networks.mome_config import MomeConfig
from magpie_core.networks.mome_net import MomeNet


def join_experts(folders: Sequence[Path], target: Path, *, mode: str = "study", seed: int = 0) -> None:
    """Write a model to `target` whose experts are the models in `folders`; its gate is untaught.

    Parameters
    ----------
    folders
        Models that know one modality each and are alike otherwise.
    mode
        See `MomeConfig`.
    seed
        Of the gate's first weights.

    Raises
    ------
    ModelError
        If a model knows several modalities, two know the same, or their networks differ.
    """
    models = [load_model(folder) for folder in folders]
    networks: dict[str, NetworkConfig] = {}
    for model in models:
        config = model.network.config
        if not isinstance(config, NetworkConfig) or len(config.modalities) != 1:
            raise ModelError(
                "Only models of one modality can be joined",
                cause=f"this one knows {', '.join(config.modalities)}",
                remedy="Teach it with one --modality",
                source=str(model.folder),
            )
        name = config.modalities[0]
        if name in networks:
            raise ModelError(
                f"Two models know {name}", remedy="Give one per modality", source=str(model.folder)
            )
        networks[name] = config
    names = tuple(networks)
    alike = {replace(config, modalities=names) for config in networks.values()}
    if len(alike) != 1:
        raise ModelError(
            "The models cannot be joined", cause="their networks differ in more than the modality"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MomeNet(MomeConfig(alike.pop(), mode))
    network.take_experts(
        {name: model.network.state_dict() for name, model in zip(names, models, strict=True)}
    )
    first = models[0].description
    # Of several licenses the one that is not free of conditions on use holds for the whole.
    licenses = sorted({model.description.license for model in models}, key=lambda text: text == "Apache-2.0")
    description = replace(
        first,
        name="mome",
        license=licenses[0],
        network=network.config.to_dict(),
        training={"data": "joined experts, gate untaught", "experts": [model.hash for model in models]},
    )
    card = f"# mome\n\nExperts for {', '.join(names)}; the gate is untaught. Research use only.\n"
    save_model(target, description, network.state_dict(), card=card)
