"""Network configurations: round trip, validation and presets."""

import json
from dataclasses import replace

import pytest
import torch

from magpie_core.errors import ModelError
from magpie_core.networks.build import build_network
from magpie_core.networks.config import (
    EnsembleConfig,
    ExpertsConfig,
    LargeKernelConfig,
    MomeConfig,
    MultiScaleConfig,
    NetworkConfig,
    read_config,
)
from magpie_core.networks.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_preset_survives_a_round_trip_through_plain_values(name):
    config = preset(name)
    assert read_config(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"color": "blue"}, "color"),
        ({"experts": {"blocks": [0, 1, 1, 1, 0], "expansion": 2, "size": 3}}, r"experts\.size"),
        ({"large_kernel": {"stages": [1], "shape": 3}}, r"large_kernel\.shape"),
        ({"multi_scale": {"finer_levels": [0, 1, 0, 0, 0], "places": 3}}, r"multi_scale\.places"),
    ],
)
def test_config_rejects_an_unknown_key_by_name(values, named):
    with pytest.raises(ModelError, match=named):
        read_config(values)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"experts": 3}, r"network\.experts must hold"),
        ({"experts": {}}, r"missing: network\.experts\.blocks"),
        ({"large_kernel": [1, 2]}, r"network\.large_kernel must hold"),
        ({"widths": [8, "16"]}, r"network\.widths\[1\] must be a whole number"),
        ({"channel_agnostic": 1}, r"network\.channel_agnostic must be true or false"),
    ],
)
def test_config_rejects_a_part_of_the_wrong_type(values, named):
    with pytest.raises(ModelError, match=named):
        read_config(values)


EXPERTS = ExpertsConfig(blocks=(0, 1, 1, 1, 0), expansion=2.0)
MEDNEXT = {"encoder": "mednext", "encoder_expansion": (2,) * 5}


@pytest.mark.parametrize(
    "values",
    [
        {"widths": (8,)},
        {"widths": (8, 16)},
        {"encoder_blocks": (1, 2, 2, 2)},
        {"encoder_blocks": (1, 2, 0, 2, 2)},
        {"decoder_blocks": (2,) * 5},
        {"encoder": "transformer"},
        {"decoder": "none"},
        {"encoder": "mednext"},
        {"encoder": "mednext", "encoder_expansion": (2,) * 4},
        {"decoder": "mednext", "decoder_expansion": (2,) * 5},
        {"stem_kernel": 2},
        {"backbone_stride": 3},
        {"refinement_channels": 7},
        {"deep_supervision": 4},
        {"modalities": ()},
        {"modalities": ("T1", "T1")},
        {"modalities": ("T9",)},
        {"regions": ()},
        {"experts": replace(EXPERTS, experts=2, experts_per_token=3)},
        {"experts": replace(EXPERTS, experts_per_token=0)},
        {"experts": replace(EXPERTS, blocks=(0, 1))},
        {"experts": replace(EXPERTS, blocks=(0,) * 5)},
        {"experts": replace(EXPERTS, expansion=None)},
        {"experts": replace(EXPERTS, expansion=0)},
        {"experts": replace(EXPERTS, router_noise=-1)},
        {"experts": replace(EXPERTS, blocks=(0, 3, 0, 0, 0)), **MEDNEXT},
        {"experts": replace(EXPERTS, decoder_blocks=(0, 1))},
        {"experts": replace(EXPERTS, expansion=None, decoder_blocks=(0, 1, 0, 0)), **MEDNEXT},
        {"large_kernel": LargeKernelConfig(stages=(4,))},
        {"large_kernel": LargeKernelConfig(stages=())},
        {"large_kernel": LargeKernelConfig(stages=(1,), kernel=4)},
        {"large_kernel": LargeKernelConfig(stages=(1,), dilation=0)},
        {"multi_scale": MultiScaleConfig(finer_levels=(1, 0, 0, 0, 0))},
        {"multi_scale": MultiScaleConfig(finer_levels=(0, 0, 0, 0, 0))},
        {"multi_scale": MultiScaleConfig(finer_levels=(0, 1, 0))},
        {"multi_scale": MultiScaleConfig(finer_levels=(0, 0, 0, 1, 0), channels=30)},
        {"multi_scale": MultiScaleConfig(finer_levels=(0, 0, 0, 1, 0), points=0)},
    ],
)
def test_config_rejects_an_invalid_network(values):
    with pytest.raises(ModelError, match="invalid"):
        NetworkConfig(**values)


@pytest.mark.parametrize(
    "config", [MomeConfig(NetworkConfig(), mode="image"), EnsembleConfig(NetworkConfig(), 3)], ids=["mome", "ensemble"]
)
def test_composite_config_survives_a_round_trip_through_plain_values(config):
    assert read_config(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "unknown"},
        {"kind": "mome"},
        {"kind": "mome", "network": {}, "size": 3},
        {"kind": "mome", "network": {}, "mode": "x"},
        {"kind": "ensemble", "network": {}},
        {"kind": "ensemble", "network": {}, "count": 1},
        {"kind": "ensemble", "network": {}, "count": 2, "mode": "study"},
    ],
)
def test_composite_config_rejects_wrong_keys_and_values(values):
    with pytest.raises(ModelError):
        read_config(values)


def test_preset_lists_the_known_names():
    with pytest.raises(ModelError, match="magpie-l"):
        preset("magpie-xxl")


def _count(config):
    with torch.device("meta"):
        network = build_network(config)
    return network.total_parameters / 1e6, network.active_parameters / 1e6


@pytest.mark.parametrize("name", ["magpie-a", "magpie-b1", "magpie-b2", "magpie-l"])
def test_large_presets_have_the_size_of_the_paper(name):
    total, active = _count(preset(name))
    assert total == pytest.approx(119.6, rel=0.02)
    assert active == pytest.approx(62.9, rel=0.03)


def test_small_presets_have_the_documented_size():
    assert _count(preset("magpie-m"))[0] == pytest.approx(30, rel=0.05)
    assert _count(preset("magpie-s"))[0] <= 5
    assert _count(preset("magpie-s-full"))[0] <= 5
    assert _count(preset("magpie-s-encoder-experts"))[0] <= 5


def test_expert_layers_are_named_in_the_order_of_the_routing():
    config = preset("magpie-s")
    assert config.expert_layers == ("encoder, stage 1", "encoder, stage 2", "encoder, stage 3", "decoder, stage 0")
    assert config.expert_strides == (4, 8, 16, 2)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("mednext-s", 5.55),
        ("mednext-b", 10.53),
        ("mednext-m", 17.55),
        ("mednext-l", 61.78),
        ("amaes-m", 20.9),
        ("amaes-l", 55.2),
        ("unet-b", 22.6),
        ("unet-l", 57.4),
        ("unet-xl", 90.3),
    ],
)
def test_peers_have_the_published_size(name, millions):
    assert _count(preset(name))[0] == pytest.approx(millions, rel=0.005)
