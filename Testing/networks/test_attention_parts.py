"""Deformable large-kernel attention and multi-scale deformable attention."""

import pytest
import torch
from torch.nn import functional as F

from magpie_core.networks.large_kernel_attention import DeformableLargeKernelAttention
from magpie_core.networks.multi_scale_attention import MultiScaleDeformableAttention


@pytest.fixture
def large_kernel():
    torch.manual_seed(0)
    return DeformableLargeKernelAttention(4, kernel=5, dilation=2)


@pytest.fixture
def multi_scale():
    torch.manual_seed(0)
    return MultiScaleDeformableAttention(6, [6, 4], attention_channels=8, heads=2, points=3)


def test_large_kernel_attention_equals_its_formula_with_zero_offsets(large_kernel):
    features = torch.randn(2, 4, 7, 6, 9)
    part = large_kernel
    inner = F.gelu(F.conv3d(part.norm(features), part.project_in.weight, part.project_in.bias))
    shaped = F.conv3d(inner, part.deformable.weight, part.deformable.bias, padding=1, groups=4)
    wide = F.conv3d(shaped, part.large.weight, part.large.bias, padding=4, dilation=2, groups=4)
    gate = F.conv3d(wide, part.pointwise.weight, part.pointwise.bias)
    gated = F.conv3d(inner * gate, part.project_out.weight, part.project_out.bias)
    expected = features + 0.01 * gated
    torch.testing.assert_close(part(features), expected, atol=1e-5, rtol=1e-5)


def test_large_kernel_attention_has_the_documented_receptive_field(large_kernel):
    with torch.no_grad():
        large_kernel.norm = torch.nn.Identity()
        large_kernel.gamma.fill_(1.0)
    features = torch.randn(1, 4, 15, 15, 15)
    changed = features.clone()
    changed[..., 7, 7, 7] += 1
    moved = (large_kernel(changed) - large_kernel(features)).abs().amax(dim=(0, 1, 2, 3))
    # One voxel by the deformable convolution and (5 - 1) / 2 x 2 by the large one.
    assert (moved > 1e-7).nonzero().flatten().tolist() == list(range(2, 13))


def test_multi_scale_attention_starts_with_rays_and_a_small_effect(multi_scale):
    features = torch.randn(1, 6, 4, 5, 3)
    finer = torch.randn(1, 4, 8, 10, 6)
    result = multi_scale(features, [features, finer])
    assert result.shape == features.shape
    assert 0 < (result - features).abs().max() < 0.1
    offsets = multi_scale.offsets.bias.reshape(2, 2, 3, 3)
    torch.testing.assert_close(offsets.norm(dim=-1), torch.tensor([1.0, 2.0, 3.0]).expand(2, 2, 3))


def test_multi_scale_attention_depends_on_the_finer_map(multi_scale):
    features, finer = torch.randn(1, 6, 4, 5, 3), torch.randn(1, 4, 8, 10, 6)
    first = multi_scale(features, [features, finer])
    second = multi_scale(features, [features, finer + torch.randn_like(finer)])
    assert (first - second).abs().max() > 1e-5


def test_multi_scale_attention_is_equivariant_to_flips_of_input_and_rays(multi_scale):
    """Flipping one axis of the input and of the offsets flips the output."""
    features, finer = torch.randn(1, 6, 4, 5, 3), torch.randn(1, 4, 8, 10, 6)
    result = multi_scale(features, [features, finer])
    for axis, component in ((2, 2), (3, 1), (4, 0)):
        flipped = MultiScaleDeformableAttention(6, [6, 4], attention_channels=8, heads=2, points=3)
        flipped.load_state_dict(multi_scale.state_dict())
        with torch.no_grad():
            flipped.offsets.bias.view(2, 2, 3, 3)[..., component] *= -1
        output = flipped(features.flip(axis), [features.flip(axis), finer.flip(axis)])
        torch.testing.assert_close(output.flip(axis), result, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("autocast", [False, True])
def test_attention_has_a_gradient_for_every_parameter(large_kernel, multi_scale, autocast):
    with torch.no_grad():
        for zero_layer in (large_kernel.offset_pointwise, multi_scale.offsets, multi_scale.scores):
            zero_layer.weight.normal_(std=0.1)
    features, finer = torch.randn(1, 4, 6, 5, 7), torch.randn(1, 6, 3, 4, 5)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = large_kernel(features).float().square().sum()
        loss = loss + multi_scale(finer, [finer, features]).float().square().sum()
    loss.backward()
    for part in (large_kernel, multi_scale):
        for name, parameter in part.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name
