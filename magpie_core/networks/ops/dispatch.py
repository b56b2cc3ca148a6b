"""Tokens to the experts that see them, and back: rows in the order of the experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dispatch:
    """Where the row of each choice lies; the rows of the first expert come first, in the order of their tokens.

    Attributes
    ----------
    choice_of_row
        (N k,) which choice a row is: row r belongs to token choice_of_row[r] // k.
    row_of_choice
        (N, k) the inverse.
    counts
        (E,) rows of each expert.
    """

    choice_of_row: Tensor
    row_of_choice: Tensor
    counts: Tensor

    @classmethod
    def of(cls, chosen: Tensor, experts: int) -> Dispatch:
        """From the experts `chosen` (N, k) by each token."""
        flat = chosen.flatten()
        # A processor sorts bytes by counting them.
        keys = flat.to(torch.uint8) if experts <= 256 else flat
        choice_of_row = keys.argsort(stable=True)
        places = torch.arange(len(flat), device=flat.device)
        row_of_choice = torch.empty_like(choice_of_row).scatter_(0, choice_of_row, places)
        return cls(choice_of_row, row_of_choice.view_as(chosen), torch.bincount(flat, minlength=experts))

    def rows(self, tokens: Tensor) -> Tensor:
        """`tokens` (N, C), once for every choice: (N k, C)."""
        rows: Tensor = _Rows.apply(tokens, self)
        return rows

    def tokens(self, rows: Tensor) -> Tensor:
        """Sums (N, C) over the choices of each token; the adjoint of `rows`."""
        tokens: Tensor = _Tokens.apply(rows, self)
        return tokens

    def shares(self, shares: Tensor) -> Tensor:
        """`shares` (N, k) of the choices, row by row: (N k, 1)."""
        rows: Tensor = _Shares.apply(shares, self)
        return rows


# Each gathers, whose own gradients torch would scatter, which is slow, and on a graphics card not repeatable.


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, dispatch: Dispatch) -> Tensor:
        ctx.dispatch = dispatch
        token_of_row = dispatch.choice_of_row // dispatch.row_of_choice.shape[1]
        return tokens.contiguous().index_select(0, token_of_row)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Tokens.apply(gradient, ctx.dispatch), None


class _Tokens(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, dispatch: Dispatch) -> Tensor:
        ctx.dispatch = dispatch
        first, *others = dispatch.row_of_choice.unbind(1)
        rows = rows.contiguous()
        tokens = rows.index_select(0, first)
        for choice in others:
            tokens += rows.index_select(0, choice)
        return tokens

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Rows.apply(gradient, ctx.dispatch), None


class _Shares(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shares: Tensor, dispatch: Dispatch) -> Tensor:
        ctx.dispatch = dispatch
        return shares.flatten().index_select(0, dispatch.choice_of_row)[:, None]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        order = ctx.dispatch.row_of_choice
        return gradient.flatten().index_select(0, order.flatten()).view_as(order), None
