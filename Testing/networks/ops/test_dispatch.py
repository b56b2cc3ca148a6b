"""Tokens to the experts that see them, and back."""

import pytest
import torch

from magpie_core.networks.ops.dispatch import Dispatch

CHOSEN = torch.tensor([[2, 0], [0, 3], [2, 3], [3, 0]])


@pytest.fixture
def dispatch():
    return Dispatch.of(CHOSEN, experts=4)


def test_rows_lie_by_expert_and_within_it_by_token(dispatch):
    tokens = torch.arange(4.0)[:, None]
    assert dispatch.counts.tolist() == [3, 0, 2, 3]
    assert dispatch.rows(tokens).flatten().tolist() == [0, 1, 3, 0, 2, 1, 2, 3]


def test_the_shares_lie_as_their_rows_do(dispatch):
    shares = torch.arange(8.0).view(4, 2)
    assert dispatch.shares(shares).flatten().tolist() == [1, 2, 7, 0, 4, 3, 5, 6]


def test_back_again_each_token_has_the_sum_of_its_rows(dispatch):
    tokens = torch.randn(4, 3)
    torch.testing.assert_close(dispatch.tokens(dispatch.rows(tokens)), 2 * tokens)


def test_one_choice_or_three(dispatch):
    for choices in (1, 3):
        chosen = torch.stack([torch.randperm(300)[:choices] for _ in range(20)])
        dispatch, tokens = Dispatch.of(chosen, experts=300), torch.randn(20, 5)
        torch.testing.assert_close(dispatch.tokens(dispatch.rows(tokens)), choices * tokens)


@pytest.mark.parametrize("way", ["rows", "tokens", "shares"])
def test_the_gradients_are_right_twice(dispatch, way):
    torch.manual_seed(0)
    shape = {"rows": (4, 3), "tokens": (8, 3), "shares": (4, 2)}[way]
    operand = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(getattr(dispatch, way), operand)
    assert torch.autograd.gradgradcheck(getattr(dispatch, way), operand)
