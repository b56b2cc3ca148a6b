"""Load a model folder after verifying it, and save one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from magpie_core.errors import ModelError
from magpie_core.models.description import CARD_NAME, DESCRIPTION_NAME, WEIGHTS_NAME, ModelDescription, read_description
from magpie_core.models.format_1 import upgrade_weights
from magpie_core.networks.build import Network, build_network
from magpie_core.networks.config import read_config
from magpie_core.storage.atomic import staged_folder
from magpie_core.storage.manifest import verify_manifest, write_manifest


@dataclass(frozen=True)
class Model:
    """A verified model: its description, its network in evaluation mode (float32, CPU), and its hash."""

    folder: Path
    description: ModelDescription
    network: Network
    hash: str

    @property
    def name(self) -> str:
        """Name and version for display."""
        return f"{self.description.name} {self.description.version}"


def load_model(folder: Path) -> Model:
    """Verify a model folder and load it; nothing is unpickled.

    Raises:
        ModelError: If the folder does not verify, or the weights do not fit the network it describes.
    """
    folder = Path(folder)
    digest = verify_manifest(folder, required=(DESCRIPTION_NAME, WEIGHTS_NAME, CARD_NAME))
    description = read_description(folder)
    network = build_network(read_config(description.network))
    try:
        weights = upgrade_weights(load_file(folder / WEIGHTS_NAME))
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except Exception as error:
        raise ModelError(
            "The model's weights do not fit the network it describes",
            cause=str(error).splitlines()[0],
            remedy="Install the model again from its original source",
            source=str(folder),
        ) from error
    if not all(torch.isfinite(tensor).all() for tensor in network.state_dict().values()):
        raise ModelError(
            "The model's weights are not finite",
            cause="its training diverged",
            remedy="Train again with a lower learning rate",
            source=str(folder),
        )
    return Model(folder, description, network.eval(), digest)


def save_model(folder: Path, description: ModelDescription, weights: Mapping[str, torch.Tensor], *, card: str) -> None:
    """Write a model folder atomically, weights as float16.

    Raises:
        ModelError: If the folder exists already, or the weights do not fit.
        ResourceError: If it cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise ModelError(
            "This model exists already and is not overwritten",
            remedy="Choose another name, or move the old folder away",
            source=str(folder),
        )
    with staged_folder(folder, ours=(), last="") as scratch:
        save_file({name: tensor.half().contiguous() for name, tensor in weights.items()}, scratch / WEIGHTS_NAME)
        description.write(scratch / DESCRIPTION_NAME)
        (scratch / CARD_NAME).write_text(card, encoding="utf-8")
        write_manifest(scratch)
        scratch.chmod(0o755)
        (scratch / WEIGHTS_NAME).chmod(0o644)  # readable for all users of an installed extension
        load_model(scratch)
