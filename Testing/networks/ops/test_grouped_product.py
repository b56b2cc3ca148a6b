"""Products of sorted rows with their group's matrix."""

import pytest
import torch

from magpie_core.networks.ops.grouped_product import grouped_product, grouped_product_loop


@pytest.mark.parametrize("counts", [(5, 0, 12, 3), (0, 0, 20, 0), (0, 0, 0, 0), (20, 0, 0, 0)])
@pytest.mark.parametrize("channels", [8, 6])
def test_the_grouped_way_equals_the_loop_also_in_its_gradients(counts, channels):
    torch.manual_seed(0)
    rows = torch.randn(sum(counts), channels, requires_grad=True)
    matrices = torch.randn(4, channels, 12, requires_grad=True)
    ours = grouped_product(rows, matrices, torch.tensor(counts))
    theirs = grouped_product_loop(rows, matrices, torch.tensor(counts))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    seed = torch.randn_like(theirs)
    for mine, loop in zip(
        torch.autograd.grad(ours, (rows, matrices), seed),
        torch.autograd.grad(theirs, (rows, matrices), seed),
        strict=True,
    ):
        torch.testing.assert_close(mine, loop, atol=1e-5, rtol=1e-5)


def test_each_row_meets_its_own_matrix():
    rows = torch.ones(3, 8)
    matrices = torch.arange(1.0, 4.0)[:, None, None].expand(3, 8, 8).contiguous()
    product = grouped_product(rows, matrices, torch.tensor([1, 0, 2]))
    assert product[:, 0].tolist() == [8.0, 24.0, 24.0]


def test_the_gradients_are_right():
    rows = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    matrices = torch.randn(3, 4, 4, dtype=torch.float64, requires_grad=True)
    counts = torch.tensor([2, 0, 4])
    assert torch.autograd.gradcheck(lambda r, m: grouped_product(r, m, counts), (rows, matrices))
