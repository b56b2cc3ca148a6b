"""Linear layers of rows sorted by group."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from magpie_core.networks.ops.grouped_linear import (
    grouped_linear,
    grouped_linear_fused,
    grouped_linear_loop,
    supports_grouped_mm,
)


@pytest.mark.parametrize("counts", [(5, 0, 12, 3), (0, 0, 20, 0), (20, 0, 0, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_and_loop_agree_in_values_and_gradients(counts, dtype):
    torch.manual_seed(0)
    operands = [
        torch.randn(*shape, dtype=dtype, requires_grad=True) for shape in ((sum(counts), 8), (4, 8, 16), (4, 16))
    ]
    if not supports_grouped_mm(*operands[:2]):
        pytest.skip("this torch has no grouped product")
    tolerance = {"atol": 1e-5, "rtol": 1e-5} if dtype is torch.float32 else {"atol": 0.06, "rtol": 0.03}
    ours = grouped_linear_fused(*operands, torch.tensor(counts))
    theirs = grouped_linear_loop(*operands, torch.tensor(counts))
    torch.testing.assert_close(ours, theirs, **tolerance)
    seed = torch.randn_like(theirs)
    for mine, loop in zip(
        torch.autograd.grad(ours, operands, seed), torch.autograd.grad(theirs, operands, seed), strict=True
    ):
        torch.testing.assert_close(mine, loop, **tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_loop_multiplies_groups_of_any_size_by_their_matrix(dtype):
    torch.manual_seed(0)
    counts = (0, 1, 16, 17, 130, 300)
    rows, matrices, biases = (
        torch.randn(*shape, dtype=dtype, requires_grad=True) for shape in ((sum(counts), 8), (6, 8, 16), (6, 16))
    )
    product = grouped_linear_loop(rows, matrices, biases, torch.tensor(counts))
    group = torch.repeat_interleave(torch.arange(6), torch.tensor(counts))
    expected = torch.einsum("nc,nch->nh", rows, matrices[group]) + biases[group]
    tolerance = {"atol": 1e-12, "rtol": 0.0} if dtype is torch.float64 else {"atol": 0.1, "rtol": 0.03}
    torch.testing.assert_close(product, expected, **tolerance)
    seed = torch.randn_like(expected)
    gradients = torch.autograd.grad(product, (rows, matrices, biases), seed)
    tolerance = tolerance if dtype is torch.float64 else {"atol": 0.5, "rtol": 0.05}
    for mine, simple in zip(gradients, torch.autograd.grad(expected, (rows, matrices, biases), seed), strict=True):
        torch.testing.assert_close(mine, simple, **tolerance)


def test_loop_in_bf16_limits_the_number_of_product_sizes(device):
    if device != "cpu":
        pytest.skip("a GPU needs no padding")

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, arguments=(), named=None):
            if operation is torch.ops.aten.addmm.default:
                multiplied.append(len(arguments[1]))
            return operation(*arguments, **(named or {}))

    multiplied: list[int] = []
    counts = torch.arange(1, 1001)
    with Sizes():
        grouped_linear_loop(
            torch.zeros(int(counts.sum()), 2, dtype=torch.bfloat16),
            torch.zeros(1000, 2, 2, dtype=torch.bfloat16),
            torch.zeros(1000, 2, dtype=torch.bfloat16),
            counts,
        )
    assert len(set(multiplied)) < 40
    assert all(0 <= size - count <= max(15, count / 8) for size, count in zip(multiplied, counts.tolist(), strict=True))


def test_grouped_linear_applies_each_groups_matrix_and_bias():
    matrices = torch.arange(1.0, 4.0)[:, None, None].expand(3, 8, 8).contiguous()
    biases = torch.tensor([0.5, 1.0, 0.25])[:, None].expand(3, 8)
    product = grouped_linear(torch.ones(3, 8), matrices, biases, torch.tensor([1, 0, 2]))
    assert product[:, 0].tolist() == [8.5, 24.25, 24.25]


def test_grouped_linear_of_no_rows_is_empty():
    product = grouped_linear(
        torch.ones(0, 6), torch.ones(4, 6, 12), torch.ones(4, 12), torch.zeros(4, dtype=torch.int64)
    )
    assert product.shape == (0, 12)


def test_grouped_linear_passes_gradcheck():
    operands = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((6, 4), (3, 4, 4), (3, 4))]
    counts = torch.tensor([2, 0, 4])
    assert torch.autograd.gradcheck(lambda *parts: grouped_linear(*parts, counts), operands)
