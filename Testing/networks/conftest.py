"""Small networks of every kind."""

import pytest

from magpie_core.networks.config import ExpertsConfig, LargeKernelConfig, MultiScaleConfig, NetworkConfig

SMALL = {
    "widths": (4, 8, 12),
    "encoder_blocks": (1, 1, 2),
    "decoder_blocks": (1, 1),
    "refinement_channels": 8,
    "deep_supervision": 1,
}
MEDNEXT = {"encoder_expansion": (2, 2, 2), "decoder_expansion": (2, 2)}
PARTS = {
    "experts": ExpertsConfig(blocks=(0, 1, 1), experts=4, expansion=2.0),
    "large_kernel": LargeKernelConfig(stages=(1,), kernel=3, dilation=2),
    "multi_scale": MultiScaleConfig(finer_levels=(0, 1, 1), channels=8, heads=2, points=2),
}


@pytest.fixture
def small_config():
    """Return a function that makes a small configuration.

    `backbone` is "unet", "mednext" or "amaes"; `magpie` adds all parts; any field can be given.
    """

    def make(backbone="unet", *, magpie=True, **fields):
        values = dict(SMALL)
        if backbone != "unet":
            values |= {"encoder": "mednext", **MEDNEXT}
        if backbone == "mednext":
            values |= {"decoder": "mednext"}
        values |= PARTS if magpie else {"channel_agnostic": False}
        return NetworkConfig(**(values | fields))

    return make
