"""A tiny model, studies on disk, and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from magpie_core.cli import app
from magpie_core.study.nifti import write_volume
from magpie_core.study.study import Study


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory) -> Path:
    """A folder of models with a small untrained network as the default model; it finds a tumour anywhere."""
    torch = pytest.importorskip("torch")
    from magpie_core.models.description import ModelDescription
    from magpie_core.models.model import save_model
    from magpie_core.networks.config import NetworkConfig
    from magpie_core.networks.magpie_net import MagpieNet

    torch.manual_seed(3)
    config = NetworkConfig(widths=(4, 8), expert_stages=(1,), experts=4, detail_channels=4)
    network = MagpieNet(config)
    with torch.no_grad():
        network.head.weight.normal_()
        network.head.bias.zero_()
        network.detail_head.weight.normal_(std=0.1)
    folder = tmp_path_factory.mktemp("models")
    description = ModelDescription(name="tiny", version="1", licence="Apache-2.0", network=config.to_dict())
    save_model(folder / "magpie-s", description, network.state_dict(), card="# tiny\n")
    return folder


@pytest.fixture
def magpie(models_folder, monkeypatch) -> Callable:
    """Runs `magpie ARGUMENTS...` with the tiny model; returns the result with exit_code, stdout and stderr."""
    monkeypatch.setenv("MAGPIE_MODELS", str(models_folder))
    return lambda *arguments: CliRunner().invoke(app, [str(word) for word in arguments])


@pytest.fixture
def write_study(make_study, tmp_path) -> Callable[..., Path]:
    """Writes a phantom study as NIfTI files and returns its folder."""

    def write(name: str = "patient", *sequences) -> Path:
        study: Study = make_study(*sequences)
        folder = tmp_path / "studies" / name
        folder.mkdir(parents=True)
        for sequence, volume in study.volumes.items():
            write_volume(volume, folder / f"{sequence.value.lower()}.nii.gz")
        return folder

    return write
