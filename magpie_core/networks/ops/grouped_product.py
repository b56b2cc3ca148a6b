"""Matrix products of rows that are sorted into groups, one matrix per group."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def grouped_product(rows: Tensor, matrices: Tensor, counts: Tensor) -> Tensor:
    """Multiply each row with its group's matrix.

    Uses torch's grouped product, which never waits for `counts`, where it exists and takes the operands; else a loop.

    Parameters
    ----------
    rows
        (N, C), those of the first group first.
    matrices
        (G, C, H).
    counts
        (G,) integers: rows in each group, which may be 0; they sum to N.

    Returns
    -------
    Tensor
        (N, H).
    """
    if _taken(rows, matrices):
        ends = counts.cumsum(0, dtype=torch.int32)
        product: Tensor = F.grouped_mm(rows, matrices, offs=ends)  # type: ignore[attr-defined,unused-ignore]
        return product
    return grouped_product_loop(rows, matrices, counts)


def grouped_product_loop(rows: Tensor, matrices: Tensor, counts: Tensor) -> Tensor:
    """The same, one product after another."""
    parts = rows.split(counts.tolist())
    return torch.cat([part @ matrix for part, matrix in zip(parts, matrices, strict=True)])


def _taken(rows: Tensor, matrices: Tensor) -> bool:
    """Whether torch's own product takes the operands: known types, rows and matrices aligned to 16 bytes."""
    if not hasattr(F, "grouped_mm") or rows.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return False
    if rows.is_cuda and (
        rows.dtype != torch.bfloat16 or torch.cuda.get_device_capability(rows.device) < (8, 0)
    ):
        return False
    aligned = 16 // rows.element_size()
    return len(rows) > 0 and all(size % aligned == 0 for size in (*rows.shape[1:], *matrices.shape[1:]))
