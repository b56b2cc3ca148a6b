"""Linear layers of rows that are sorted into groups, one matrix and bias per group."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def grouped_linear(rows: Tensor, matrices: Tensor, biases: Tensor, counts: Tensor) -> Tensor:
    """Multiply each row by its group's matrix and add the group's bias.

    On a GPU by torch's grouped product if it supports the operands, without synchronizing for `counts`; else by a loop,
    which is faster on a CPU because the biases are added within the products.

    Args:
        rows: (N, C), sorted by group.
        matrices, biases: (G, C, H) and (G, H).
        counts: (G,) integers: rows in each group, which may be 0; they sum to N.

    Returns:
        Tensor: (N, H).
    """
    if rows.is_cuda and supports_grouped_mm(rows, matrices):
        return grouped_linear_fused(rows, matrices, biases, counts)
    return grouped_linear_loop(rows, matrices, biases, counts)


def grouped_linear_loop(rows: Tensor, matrices: Tensor, biases: Tensor, counts: Tensor) -> Tensor:
    """Compute `grouped_linear` with one product per group."""
    parts = zip(rows.split(counts.tolist()), matrices, biases, strict=True)
    product = torch.addmm if rows.is_cuda or rows.dtype == torch.float32 else _padded_addmm
    return torch.cat([product(bias, part, matrix) for part, matrix, bias in parts])


def grouped_linear_fused(rows: Tensor, matrices: Tensor, biases: Tensor, counts: Tensor) -> Tensor:
    """Compute `grouped_linear` with one grouped product."""
    ends = counts.cumsum(0, dtype=torch.int32)
    product: Tensor = F.grouped_mm(rows, matrices, offs=ends)  # type: ignore[attr-defined,unused-ignore]
    return product + biases[torch.repeat_interleave(counts, output_size=len(rows))]


def _padded_addmm(bias: Tensor, rows: Tensor, matrix: Tensor) -> Tensor:
    """Compute bias + rows @ matrix with the rows zero-padded to one of a few sizes.

    On a CPU oneDNN compiles a kernel for each size of a bfloat16 product, which takes longer than the product, and the
    sizes of groups rarely repeat.
    """
    count = len(rows)
    # Eight sizes per power of two, multiples of 16: at most an eighth more, or 15 rows.
    step = 1 << max(count.bit_length() - 4, 4)
    missing = -count % step
    return torch.addmm(bias, F.pad(rows, (0, 0, 0, missing)), matrix)[:count]


def supports_grouped_mm(rows: Tensor, matrices: Tensor) -> bool:
    """Return whether torch's grouped product supports the operands: their types, and alignment to 16 bytes."""
    if not hasattr(F, "grouped_mm") or rows.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return False
    if rows.is_cuda and (rows.dtype != torch.bfloat16 or torch.cuda.get_device_capability(rows.device) < (8, 0)):
        return False
    aligned = 16 // rows.element_size()
    return len(rows) > 0 and all(size % aligned == 0 for size in (*rows.shape[1:], *matrices.shape[1:]))
