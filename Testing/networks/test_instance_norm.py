"""InstanceNorm: torch's values, gradients and memory format."""

import pytest
import torch
from torch.nn import functional as F

from magpie_core.networks.convolution import InstanceNorm


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("batch", [1, 3])
def test_instance_norm_equals_torchs_in_values_and_gradients_and_keeps_the_memory_format(memory_format, batch):
    torch.manual_seed(0)
    norm = InstanceNorm(5).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    features = torch.randn(batch, 5, 3, 4, 6, dtype=torch.float64).contiguous(memory_format=memory_format)
    features.requires_grad_()
    ours = norm(features)
    theirs = F.instance_norm(features, weight=norm.weight, bias=norm.bias, eps=norm.eps)
    torch.testing.assert_close(ours, theirs)
    assert ours.is_contiguous(memory_format=memory_format)
    operands = (features, norm.weight, norm.bias)
    seed = torch.randn_like(theirs)
    for mine, other in zip(
        torch.autograd.grad(ours, operands, seed), torch.autograd.grad(theirs, operands, seed), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_instance_norm_is_the_same_in_training_and_evaluation():
    norm, features = InstanceNorm(4), torch.randn(2, 4, 3, 3, 3)
    assert torch.equal(norm.train()(features), norm.eval()(features))


def test_instance_norm_of_one_voxel_is_the_bias():
    norm = InstanceNorm(2)
    torch.nn.init.constant_(norm.bias, 0.5)
    torch.testing.assert_close(norm(torch.randn(1, 2, 1, 1, 1)), torch.full((1, 2, 1, 1, 1), 0.5), atol=1e-4, rtol=0.0)
