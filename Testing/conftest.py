"""Phantoms, and the folders of real data where there are any."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume

sys.path.insert(0, str(Path(__file__).parent))  # what several packages need: dicom_files


def _stay_on_this_computer(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse what would reach another computer, whatever library tries it."""
    if event != "socket.getaddrinfo":
        return
    host = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
    if host not in (None, "", "localhost", socket.gethostname()) and not str(host).startswith(("127.", "::1")):
        raise OSError(f"a test asked the network for {host}")


sys.addaudithook(_stay_on_this_computer)


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"needs {what}: set {variable} to their folder")
    folder = Path(value)
    if not folder.is_dir():
        pytest.skip(f"needs {what}: {variable} names {folder}, which is not a folder")
    return folder


@pytest.fixture(autouse=True, scope="session")
def no_site(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests see no version of the model that whoever runs them has, and are not asked which weights to use."""
    os.environ["MAGPIE_SITE"] = str(tmp_path_factory.mktemp("site"))
    os.environ["MAGPIE_DEFAULT_MODEL"] = "magpie-s"


@pytest.fixture(scope="session")
def cases_folder() -> Path:
    """The folder of real cases (MAGPIE_CASES)."""
    return _folder("MAGPIE_CASES", "real cases")


@pytest.fixture(scope="session")
def anatomy_folder() -> Path:
    """The folder of anatomical label maps (MAGPIE_ANATOMY)."""
    return _folder("MAGPIE_ANATOMY", "anatomical label maps")


@pytest.fixture(scope="session")
def cuda_device() -> str:
    """A CUDA device."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    return "cuda:0"


@pytest.fixture
def make_volume() -> Callable[..., Volume]:
    """Makes a skull-stripped phantom: an ellipsoid brain with a bright lesion on its right, textured, 0 outside.

    Options: `shape`, `spacing_mm`, `seed` (contrast and texture), `affine` (instead of LPS with spacing and origin
    (-20, 30, 5) mm).
    """

    def make(
        shape: tuple[int, int, int] = (28, 32, 24),
        *,
        spacing_mm: float = 1.0,
        seed: int = 0,
        affine: np.ndarray | None = None,
    ) -> Volume:
        random = np.random.default_rng(seed)
        i, j, k = (np.linspace(-1, 1, size) for size in shape)
        grid = np.stack(np.meshgrid(i, j, k, indexing="ij"))
        radius = np.sqrt((grid**2).sum(axis=0))
        lesion = np.sqrt(((grid - np.array([-0.35, 0.2, 0.1])[:, None, None, None]) ** 2).sum(axis=0)) < 0.25
        brain = radius < 0.8
        waves = sum(np.sin(random.uniform(2, 5) * axis + random.uniform(0, 6)) for axis in grid)
        image = 300 + 60 * waves + random.normal(0, 10, shape) + random.uniform(150, 300) * lesion
        if affine is None:
            affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0])
            affine[:3, 3] = (-20, 30, 5)
        return Volume(np.where(brain, image, 0).astype(np.float32), affine)

    return make


@pytest.fixture
def make_study(make_volume: Callable[..., Volume]) -> Callable[..., Study]:
    """Makes a phantom study of co-registered modalities (all four by default) on one grid; options of `make_volume`.

    Images of another `patient` (a number) have other content.
    """

    def make(
        *modalities: Modality,
        name: str = "phantom",
        shape: tuple[int, int, int] = (28, 32, 24),
        patient: int = 0,
        **options: object,
    ) -> Study:
        wanted = modalities or GLIOMA_MODALITIES
        seeds = {modality: 100 * patient + index for index, modality in enumerate(wanted)}
        return Study({modality: make_volume(shape, seed=seed, **options) for modality, seed in seeds.items()}, name)

    return make


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained model whose output follows the images, so that something is found."""
    import torch

    from magpie_core.models.description import ModelDescription
    from magpie_core.models.model import save_model
    from magpie_core.networks.config import ExpertsConfig, NetworkConfig
    from magpie_core.networks.magpie_net import MagpieNet

    config = NetworkConfig(
        widths=(4, 8),
        encoder_blocks=(1, 1),
        decoder_blocks=(1,),
        experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0),
        refinement_channels=4,
        deep_supervision=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = MagpieNet(config)
        with torch.no_grad():
            network.heads[0].weight.normal_()
            network.heads[0].bias.zero_()
            network.refinement_head.head.weight.normal_(std=0.1)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    description = ModelDescription(name="tiny", version="1", license="Apache-2.0", network=config.to_dict())
    save_model(folder, description, network.state_dict(), card="# tiny")
    return folder


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory, tiny_model) -> Path:
    """A folder of models with the tiny model as the default; it finds a tumor anywhere."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(tiny_model, folder / "magpie-s")
    return folder


@pytest.fixture(scope="session")
def without_transforms():
    """A configuration of the generator without some transforms, by their names."""

    def switch_off(config, *names: str):
        off = {name: replace(getattr(config.transforms, name), probability=0.0) for name in names}
        return replace(config, transforms=replace(config.transforms, **off))

    return switch_off
