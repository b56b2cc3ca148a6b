"""Sampling and weighting over several scales equal the formula."""

import pytest
import torch

from magpie_core.networks.ops.deformable import deformable_attention
from magpie_core.networks.ops.sampling import (
    corners,
    grid_coordinates,
    padded_rows,
    voxel_centers,
    voxel_coordinates,
    voxel_scale,
    weighted_rows,
)


def _trilinear(maps, location):
    """Sample maps (C, D, H, W) at (x, y, z) from -1 to 1, zero outside; returns (C,)."""
    sizes = maps.shape[1:]
    voxel = [(float(p) + 1) / 2 * n - 0.5 for p, n in zip(reversed(location), sizes, strict=True)]
    total = torch.zeros(len(maps), dtype=maps.dtype)
    base = [int(torch.tensor(v).floor()) for v in voxel]
    for corner in torch.cartesian_prod(*(torch.arange(2),) * 3).tolist():
        index = [b + c for b, c in zip(base, corner, strict=True)]
        if all(0 <= i < n for i, n in zip(index, sizes, strict=True)):
            weight = 1.0
            for v, i in zip(voxel, index, strict=True):
                weight *= 1 - abs(v - i)
            total += weight * maps[:, index[0], index[1], index[2]]
    return total


def _operands(dtype=torch.float32):
    torch.manual_seed(0)
    sizes = [(3, 5, 4), (6, 7, 9)]
    values = [torch.randn(2, 2, 3, *size, dtype=dtype) for size in sizes]
    locations = 2.2 * torch.rand(2, 6, 2, 2, 3, 3, dtype=dtype) - 1.1
    weights = torch.rand(2, 6, 2, 2, 3, dtype=dtype)
    return values, locations, weights


def test_deformable_attention_equals_the_formula_on_maps_that_are_not_cubes():
    values, locations, weights = _operands()
    ours = deformable_attention(values, locations, weights)
    assert ours.shape == (2, 6, 6)
    for b in range(2):
        for token in range(6):
            for head in range(2):
                expected = sum(
                    weights[b, token, head, level, point]
                    * _trilinear(values[level][b, head], locations[b, token, head, level, point].tolist())
                    for level in range(2)
                    for point in range(3)
                )
                result = ours[b, token].reshape(2, 3)[head]
                torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


def test_deformable_attention_at_the_voxel_centers_returns_the_values():
    values = torch.randn(1, 1, 4, 3, 5, 4)
    locations = grid_coordinates(voxel_centers((3, 5, 4), like=values), (3, 5, 4)).reshape(1, -1, 1, 1, 1, 3)
    sampled = deformable_attention([values], locations, torch.ones(1, 60, 1, 1, 1))
    torch.testing.assert_close(sampled, values[:, 0].flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-5)


def test_voxel_scale_is_the_distance_of_neighboring_voxels():
    like = torch.zeros(())
    grid = grid_coordinates(voxel_centers((3, 5, 4), like=like), (3, 5, 4))
    scale = voxel_scale((3, 5, 4), like=like)
    for component, axis in ((0, 2), (1, 1), (2, 0)):
        torch.testing.assert_close(
            grid.select(axis, 1)[..., component] - grid.select(axis, 0)[..., component],
            scale[component].expand(grid.select(axis, 0).shape[:-1]),
        )


def test_deformable_attention_passes_gradcheck():
    values, locations, weights = _operands(torch.float64)
    operands = [tensor.requires_grad_() for tensor in (*values, locations, weights)]
    assert torch.autograd.gradcheck(
        lambda first, second, locations, weights: deformable_attention([first, second], locations, weights),
        operands,
        fast_mode=True,
    )


@pytest.mark.parametrize("reach", [0.5, 3.0])
def test_weighted_rows_equal_grid_sampling_inside_outside_and_on_the_edge(reach):
    torch.manual_seed(0)
    maps = torch.randn(2, 5, 3, 4, 6)
    locations = (torch.rand(2, 500, 3) * 2 - 1) * reach
    locations[:, :8] = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    expected = torch.nn.functional.grid_sample(maps, locations[:, :, None, None], align_corners=False)[..., 0, 0]
    index, weights = corners(voxel_coordinates(locations, (3, 4, 6)), (3, 4, 6))
    found = weighted_rows(padded_rows(maps), index.flatten(0, 1), weights.flatten(0, 1))
    torch.testing.assert_close(found.reshape(2, 500, 5).transpose(1, 2), expected, atol=1e-5, rtol=1e-5)


def test_corners_of_nan_sample_zero():
    maps = torch.ones(1, 1, 2, 2, 2)
    index, weights = corners(torch.full((1, 1, 3), float("nan")), (2, 2, 2))
    assert weighted_rows(padded_rows(maps), index[0], weights[0]).item() == 0
