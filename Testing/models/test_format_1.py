"""Models and site versions written by 0.5.0 (format 1) load, verify and give the same logits.

`data/` was written by version 0.5.0: tiny networks with random weights, and a site's version store with two of them.
"""

import shutil
from pathlib import Path

import pytest
import torch

from magpie_core.errors import ModelError
from magpie_core.models.description import ModelDescription, Postprocessing, read_description
from magpie_core.models.format_1 import upgrade_description, upgrade_weights
from magpie_core.models.model import load_model, save_model
from magpie_core.models.versions import VersionStore
from magpie_core.networks.config import ExpertsConfig, NetworkConfig
from magpie_core.networks.magpie_net import EnsembleNet, MagpieNet
from magpie_core.networks.mome_net import MomeNet

DATA = Path(__file__).parent / "data"
MODELS = DATA / "model_0.5.0"
# Logits of version 0.5.0 at three voxels, and the mean and standard deviation of all.
EXPECTED = {
    "magpie_net": (MagpieNet, (-2.67807, -3.50383, -3.36521), -3.30814, 0.41768),
    "mome": (MomeNet, (-3.01193, -3.18002, -3.39971), -3.01591, 0.28957),
    "ensemble": (EnsembleNet, (-3.21183, -3.85891, -2.58146), -3.05415, 0.35243),
}


def _logits(network):
    images = torch.linspace(-1, 1, 2 * 8 * 8 * 12).reshape(1, 2, 8, 8, 12).sin().mul(7).cos()
    with torch.no_grad():
        return network(images, ("T1", "FLAIR")).logits


@pytest.mark.parametrize("name", EXPECTED)
def test_model_of_0_5_0_gives_the_same_logits(name):
    kind, voxels, mean, deviation = EXPECTED[name]
    network = load_model(MODELS / name).network
    assert isinstance(network, kind)
    logits = _logits(network)
    assert logits.shape == (1, 3, 8, 8, 12)
    assert logits.flatten()[[0, 777, 2000]].tolist() == pytest.approx(voxels, abs=1e-4)
    assert logits.mean().item() == pytest.approx(mean, abs=1e-4)
    assert logits.std().item() == pytest.approx(deviation, abs=1e-4)


@pytest.mark.parametrize("name", EXPECTED)
def test_description_of_0_5_0_is_read_in_full(name):
    description = read_description(MODELS / name)
    assert (description.name, description.version, description.license) == ("tiny", "0.5.0", "Apache-2.0")
    assert description.postprocessing == Postprocessing(
        thresholds=(0.4, 0.5, 0.6),
        minimum_volume_ml=(0.1, 0.0, 0.0),
        minimum_component_ml=0.2,
        minimum_uptake_sd=2.5,
        interval_thresholds={"WT": (0.8, 0.05)},
    )
    # The training record is free text of that version: its keys are kept.
    assert description.training == {"cases": ["a", "b"], "sequences": 4}


def test_network_of_0_5_0_has_its_renamed_options():
    config = load_model(MODELS / "magpie_net").network.config
    assert (config.backbone_stride, config.refinement_channels) == (2, 4)
    assert config.modalities == ("T1", "T1CE", "T2", "FLAIR")
    assert config.experts == ExpertsConfig(blocks=(0, 1), experts=4, expansion=1.0, decoder_blocks=(1,))


@pytest.mark.parametrize("name", EXPECTED)
def test_model_of_0_5_0_saved_again_is_the_same_in_format_2(name, tmp_path):
    old = load_model(MODELS / name)
    save_model(tmp_path / name, old.description, old.network.state_dict(), card="# tiny")
    again = load_model(tmp_path / name)
    assert (tmp_path / name / "model.yaml").read_text().startswith("format: 2\n")
    assert again.description == old.description
    assert torch.equal(_logits(again.network), _logits(old.network))


def test_changed_model_of_0_5_0_does_not_verify(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(MODELS / "mome", folder)
    path = folder / "model.yaml"
    path.write_text(path.read_text().replace("mode: study", "mode: image"))
    with pytest.raises(ModelError, match=r"model\.yaml"):
        load_model(folder)


def test_keys_of_format_1_are_unknown_in_format_2(tmp_path):
    text = (MODELS / "magpie_net" / "model.yaml").read_text()
    (tmp_path / "model.yaml").write_text(text.replace("format: 1", "format: 2"))
    with pytest.raises(ModelError, match="licence"):
        read_description(tmp_path)


def test_upgrade_renames_weights_of_nested_networks_only_by_whole_names():
    names = ("detail.head.bias", "members.0.detail.stem.kernels.T1", "experts.T1.detail.head.bias", "details.bias")
    assert list(upgrade_weights(dict.fromkeys(names))) == [
        "refinement_head.head.bias",
        "members.0.refinement_head.stem.kernels.T1",
        "experts.T1.refinement_head.head.bias",
        "details.bias",
    ]


def test_upgrade_renames_keys_at_every_depth_but_those_of_the_training_record():
    old = {"licence": "x", "network": {"network": {"body_stride": 2}}, "training": {"sequences": 4}}
    assert upgrade_description(old) == {
        "license": "x",
        "network": {"network": {"backbone_stride": 2}},
        "training": {"sequences": 4},
    }


@pytest.fixture
def site(tmp_path):
    """Return a copy of the version store of 0.5.0, with its versions in the order in which they were added."""
    shutil.copytree(DATA / "site_0.5.0", tmp_path / "site")
    return VersionStore(tmp_path / "site")


def test_versions_of_0_5_0_verify_and_load(site):
    assert {version.name for version in site.versions()} == {"site-1", "site-2"}
    first = site.version("site-1")
    assert first.record() == {"cases": ["a", "b"], "dice": 0.7}
    assert (first.evidence / "gate.json").is_file()
    for version in site.versions():
        logits = _logits(load_model(version.model).network)
        assert logits.mean().item() == pytest.approx(EXPECTED["ensemble"][2], abs=1e-4)


def test_active_version_and_log_of_0_5_0_are_read_and_continued(site):
    assert site.active.name == "site-1"
    events = [(entry.event, entry.details["version"]) for entry in site.log.entries()]
    assert events == [
        ("add", "site-1"),
        ("add", "site-2"),
        ("promote", "site-1"),
        ("promote", "site-2"),
        ("rollback", "site-1"),
    ]
    assert {entry.user for entry in site.log.entries()} == {"tester"}
    site.promote("site-2", user="me", reason="better")
    assert site.active.name == "site-2" and site.rollback().name == "site-1" and site.rollback() is None
    assert len(site.log.entries()) == 8


def test_version_of_today_is_added_to_the_store_of_0_5_0(site, tmp_path):
    config = NetworkConfig(
        widths=(2, 4), encoder_blocks=(1, 1), decoder_blocks=(1,), refinement_channels=2, deep_supervision=0
    )
    description = ModelDescription("tiny", "2", "Apache-2.0", config.to_dict())
    save_model(tmp_path / "new", description, MagpieNet(config).state_dict(), card="# tiny")
    site.add("site-3", tmp_path / "new", {"cases": []})
    assert site.promote("site-3", reason="better") == site.active
    assert site.rollback().name == "site-1"
