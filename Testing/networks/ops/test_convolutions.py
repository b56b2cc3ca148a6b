"""Rewritten convolutions equal torch's."""

import pytest
import torch
from torch.nn import functional as F

from magpie_core.networks.ops.conv3d import pointwise, sliced_conv3d, up_conv3d
from magpie_core.networks.ops.deformable import deformable_depthwise_conv3d
from magpie_core.networks.ops.depthwise import dilated_depthwise_conv3d, transposed_depthwise_conv3d

FORMATS = [torch.contiguous_format, torch.channels_last_3d]


def _operands(size, kernel, *, memory_format=torch.contiguous_format, channels=3, dtype=torch.float32):
    torch.manual_seed(0)
    features = torch.randn(2, channels, *size, dtype=dtype).contiguous(memory_format=memory_format)
    weight = torch.randn(channels, 1, kernel, kernel, kernel, dtype=dtype)
    bias = torch.randn(channels, dtype=dtype)
    return [tensor.requires_grad_() for tensor in (features, weight, bias)]


def _assert_same(ours, theirs, operands):
    """Assert equal results and gradients."""
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    seed = torch.randn_like(theirs)
    for mine, stock in zip(
        torch.autograd.grad(ours, operands, seed), torch.autograd.grad(theirs, operands, seed), strict=True
    ):
        torch.testing.assert_close(mine, stock, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_transposed_depthwise_equals_torchs(kernel, memory_format):
    operands = _operands((5, 4, 7), kernel, memory_format=memory_format)
    features, weight, bias = operands
    theirs = F.conv_transpose3d(features, weight, bias, 2, kernel // 2, groups=3)
    _assert_same(transposed_depthwise_conv3d(*operands), theirs, operands)


def test_transposed_depthwise_without_bias_equals_torchs():
    features, weight, _ = _operands((4, 3, 5), 3)
    ours = transposed_depthwise_conv3d(features, weight, None)
    torch.testing.assert_close(ours, F.conv_transpose3d(features, weight, None, 2, 1, groups=3), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (1, 1)])
@pytest.mark.parametrize("size", [(6, 8, 10), (5, 7, 9), (1, 4, 3)])
def test_sliced_conv3d_equals_torchs(size, kernel, stride, memory_format):
    features = torch.randn(1, 3, *size, dtype=torch.float64).contiguous(memory_format=memory_format)
    weight = torch.randn(4, 3, kernel, kernel, kernel, dtype=torch.float64)
    bias = torch.randn(4, dtype=torch.float64)
    operands = [tensor.requires_grad_() for tensor in (features, weight, bias)]
    theirs = F.conv3d(*operands, stride, kernel // 2)
    _assert_same(sliced_conv3d(*operands, stride=stride), theirs, operands)


@pytest.mark.parametrize("memory_format", FORMATS)
def test_up_conv3d_equals_torchs(memory_format):
    features = torch.randn(2, 5, 3, 4, 2).contiguous(memory_format=memory_format)
    operands = [tensor.requires_grad_() for tensor in (features, torch.randn(5, 3, 2, 2, 2), torch.randn(3))]
    _assert_same(up_conv3d(*operands), F.conv_transpose3d(*operands, stride=2), operands)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(
    ("size", "kernel", "dilation"),
    [((9, 12, 7), 3, 2), ((11, 8, 13), 5, 3), ((4, 5, 3), 7, 3), ((6, 7, 8), 7, 1), ((2, 1, 9), 3, 4)],
)
def test_a_dilated_convolution_equals_torchs(size, kernel, dilation, memory_format):
    operands = _operands(size, kernel, memory_format=memory_format)
    features, weight, bias = operands
    theirs = F.conv3d(features, weight, bias, 1, dilation * (kernel // 2), dilation, groups=3)
    ours = dilated_depthwise_conv3d(*operands, dilation=dilation)
    _assert_same(ours, theirs, operands)


@pytest.mark.parametrize("rewrite", ["transposed", "dilated"])
def test_depthwise_convolutions_keep_channels_last(rewrite):
    features, weight, bias = _operands((6, 7, 8), 3, memory_format=torch.channels_last_3d, channels=4)
    if rewrite == "transposed":
        result = transposed_depthwise_conv3d(features, weight, bias)
    else:
        result = dilated_depthwise_conv3d(features, weight, bias, dilation=2)
    assert result.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("kernel", [1, 3])
def test_deformable_depthwise_without_offsets_is_an_ordinary_convolution(kernel):
    operands = _operands((5, 6, 7), kernel)
    features, weight, bias = operands
    offsets = torch.zeros(2, 3 * kernel**3, 5, 6, 7)
    theirs = F.conv3d(features, weight, bias, padding=kernel // 2, groups=3)
    _assert_same(deformable_depthwise_conv3d(features, offsets, weight, bias), theirs, operands)


def _slow_deformable(features, offsets, weight, bias):
    """Compute the formula voxel by voxel and corner by corner."""
    batch, channels, *size = features.shape
    kernel = weight.shape[-1]
    reach = kernel // 2
    result = bias[None, :, None, None, None].expand(features.shape).clone()
    for b, z, y, x in torch.cartesian_prod(*(torch.arange(n) for n in (batch, *size))).tolist():
        for tap, (dz, dy, dx) in enumerate(torch.cartesian_prod(*(torch.arange(-reach, reach + 1),) * 3).tolist()):
            ox, oy, oz = offsets[b, 3 * tap : 3 * tap + 3, z, y, x].tolist()
            result[b, :, z, y, x] += weight[:, 0].flatten(1)[:, tap] * _trilinear(
                features[b], (z + dz + oz, y + dy + oy, x + dx + ox)
            )
    return result


def _trilinear(maps, position):
    """Sample maps (C, D, H, W) at a position in voxels (z, y, x), zero outside; returns (C,)."""
    total = torch.zeros(len(maps), dtype=maps.dtype)
    base = [int(torch.tensor(p).floor()) for p in position]
    for corner in torch.cartesian_prod(*(torch.arange(2),) * 3).tolist():
        index = [b + c for b, c in zip(base, corner, strict=True)]
        if all(0 <= i < n for i, n in zip(index, maps.shape[1:], strict=True)):
            weight = 1.0
            for p, i in zip(position, index, strict=True):
                weight *= 1 - abs(p - i)
            total += weight * maps[:, index[0], index[1], index[2]]
    return total


def test_deformable_depthwise_equals_its_formula_on_a_map_that_is_not_a_cube():
    torch.manual_seed(0)
    features, weight, bias = torch.randn(1, 2, 3, 5, 4), torch.randn(2, 1, 3, 3, 3), torch.randn(2)
    offsets = 1.5 * torch.randn(1, 81, 3, 5, 4)
    ours = deformable_depthwise_conv3d(features, offsets, weight, bias)
    torch.testing.assert_close(ours, _slow_deformable(features, offsets, weight, bias), atol=1e-5, rtol=1e-5)


def test_deformable_depthwise_shifts_the_map_by_offsets_of_whole_voxels():
    features = torch.randn(1, 1, 6, 7, 8)
    weight = torch.ones(1, 1, 1, 1, 1)
    for component, axis in ((0, 4), (1, 3), (2, 2)):
        offsets = torch.zeros(1, 3, 6, 7, 8)
        offsets[:, component] = 2
        moved = deformable_depthwise_conv3d(features, offsets, weight)
        length = features.shape[axis]
        torch.testing.assert_close(
            moved.narrow(axis, 0, length - 2), features.narrow(axis, 2, length - 2), atol=1e-5, rtol=1e-5
        )
        assert moved.narrow(axis, length - 2, 2).abs().max() < 1e-5


def test_deformable_depthwise_passes_gradcheck():
    features, weight, bias = _operands((2, 3, 2), 3, channels=2, dtype=torch.float64)
    torch.manual_seed(1)
    # Away from whole voxels, where trilinear interpolation is not differentiable.
    offsets = (0.3 + 0.2 * torch.rand(2, 81, 2, 3, 2, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(deformable_depthwise_conv3d, (features, offsets, weight, bias), fast_mode=True)


def test_depthwise_convolutions_pass_gradcheck():
    operands = _operands((3, 2, 4), 3, channels=2, dtype=torch.float64)
    assert torch.autograd.gradcheck(transposed_depthwise_conv3d, tuple(operands), fast_mode=True)
    assert torch.autograd.gradcheck(
        lambda *args: dilated_depthwise_conv3d(*args, dilation=2), tuple(operands), fast_mode=True
    )


def test_deformable_depthwise_positions_are_exact_under_autocast():
    features = torch.arange(400.0).expand(1, 1, 1, 1, 400).contiguous()
    offsets = torch.zeros(1, 3, 1, 1, 400)
    offsets[:, 0] = 100.25
    with torch.autocast("cpu", torch.bfloat16):
        moved = deformable_depthwise_conv3d(features, offsets, torch.ones(1, 1, 1, 1, 1))
    torch.testing.assert_close(moved[..., :290], features[..., :290] + 100.25, atol=1e-2, rtol=0)


def test_deformable_depthwise_saves_little_for_the_backward_pass():
    features, weight, bias = _operands((8, 8, 8), 3, channels=16)
    offsets = torch.randn(2, 81, 8, 8, 8, requires_grad=True)
    kept: dict[int, int] = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        deformable_depthwise_conv3d(features, offsets, weight, bias)
    inputs = features.nbytes + offsets.nbytes
    assert sum(kept.values()) < 2 * inputs


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_pointwise_equals_torchs(memory_format, threads):
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        features = torch.randn(2, 4, 3, 5, 6).contiguous(memory_format=memory_format).requires_grad_()
        weight, bias = torch.randn(7, 4, requires_grad=True), torch.randn(7, requires_grad=True)
        theirs = F.conv3d(features, weight[:, :, None, None, None], bias)
        _assert_same(pointwise(features, weight, bias), theirs, [features, weight, bias])
    finally:
        torch.set_num_threads(before)
