"""Convolution and UpConvolution equal torch's, and use oneDNN."""

import pytest
import torch
from torch import nn

from magpie_core.networks.convolution import Convolution, InstanceNorm, UpConvolution
from magpie_core.networks.ops.conv3d import bypasses_onednn


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("side", [8, 40])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_convolutions_equal_torchs_for_every_size_and_precision(dtype, batch, side, kernel, stride):
    module = Convolution(16, 8, kernel, stride=stride)
    features = torch.randn(batch, 16, side, side, 8).contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        ours, torchs = module(features), nn.Conv3d.forward(module, features)
        doubling = UpConvolution(16, 8)
        doubled, torchs_doubled = doubling(features), nn.ConvTranspose3d.forward(doubling, features)
    close = {"rtol": 0.05, "atol": 0.05} if dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-5}
    for own, other in ((ours, torchs), (doubled, torchs_doubled)):
        assert own.dtype == dtype
        torch.testing.assert_close(own, other, **close)
        if dtype == torch.float32 and torch.backends.mkldnn.is_available():
            # Later operators recognize the format only if the stride of every axis is right.
            assert InstanceNorm(8)(own).is_contiguous(memory_format=torch.channels_last_3d)


def operators(module, features):
    """Return the names of the operators that torch runs."""
    with torch.no_grad(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        module(features)
    return {event.name for event in profile.events()}


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN here")
@pytest.mark.parametrize("side", [8, 16, 24, 40])
def test_convolution_of_one_float32_sample_uses_onednn(side):
    module, features = Convolution(16, 8, 3), torch.randn(1, 16, side, side, 16)
    plain = any("slow" in name for name in operators(lambda x: nn.Conv3d.forward(module, x), features))
    assert plain == bypasses_onednn(features, module.weight)
    assert not any("slow" in name for name in operators(module, features))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN here")
@pytest.mark.parametrize("side", [8, 40])
def test_up_convolution_of_one_float32_sample_uses_onednn(side):
    module, features = UpConvolution(16, 8), torch.randn(1, 16, side, side, 8)
    plain = any("slow" in name for name in operators(lambda x: nn.ConvTranspose3d.forward(module, x), features))
    assert plain == bypasses_onednn(features, module.weight)
    assert not any("slow" in name for name in operators(module, features))
