"""The network's configuration: round trip and refusals."""

import pytest

from magpie_core.errors import ModelError
from magpie_core.networks.config import NetworkConfig


def test_a_configuration_survives_the_way_through_plain_values():
    config = NetworkConfig(widths=(8, 16, 32), expert_stages=(1,), experts=4)
    assert NetworkConfig.from_dict(config.to_dict()) == config


def test_an_unknown_key_is_refused_by_name():
    with pytest.raises(ModelError, match="colour"):
        NetworkConfig.from_dict({"colour": "blue"})


@pytest.mark.parametrize(
    "values",
    [
        {"experts": 2, "experts_per_token": 3},
        {"widths": (8,)},
        {"expert_stages": (7,)},
        {"sequences": ()},
        {"sequences": ("T1", "T1")},
        {"sequences": ("T9",)},
        {"expert_expansion": 0},
    ],
)
def test_an_impossible_network_is_refused(values):
    with pytest.raises(ModelError, match="impossible"):
        NetworkConfig(**values)


def test_the_default_network_fits_the_promised_size():
    from magpie_core.networks.magpie_net import MagpieNet

    assert sum(parameter.numel() for parameter in MagpieNet(NetworkConfig()).parameters()) <= 5_000_000
