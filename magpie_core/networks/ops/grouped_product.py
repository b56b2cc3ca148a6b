"""Affine maps of rows that are sorted into groups, one matrix and bias per group."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def grouped_product(rows: Tensor, matrices: Tensor, biases: Tensor, counts: Tensor) -> Tensor:
    """Multiply each row with its group's matrix and add the group's bias.

    On a graphics card by torch's grouped product, which never waits for `counts`, where it takes the operands; else by
    a loop, which on a processor is faster: it adds the biases within the products.

    Parameters
    ----------
    rows
        (N, C), those of the first group first.
    matrices
        (G, C, H).
    biases
        (G, H).
    counts
        (G,) integers: rows in each group, which may be 0; they sum to N.

    Returns
    -------
    Tensor
        (N, H).
    """
    if rows.is_cuda and takes_together(rows, matrices):
        return grouped_product_together(rows, matrices, biases, counts)
    return grouped_product_loop(rows, matrices, biases, counts)


def grouped_product_loop(rows: Tensor, matrices: Tensor, biases: Tensor, counts: Tensor) -> Tensor:
    """The same, one product after another."""
    parts = zip(rows.split(counts.tolist()), matrices, biases, strict=True)
    product = torch.addmm if rows.is_cuda or rows.dtype == torch.float32 else _product_of_usual_size
    return torch.cat([product(bias, part, matrix) for part, matrix, bias in parts])


def grouped_product_together(rows: Tensor, matrices: Tensor, biases: Tensor, counts: Tensor) -> Tensor:
    """The same in one grouped product."""
    ends = counts.cumsum(0, dtype=torch.int32)
    product: Tensor = F.grouped_mm(rows, matrices, offs=ends)  # type: ignore[attr-defined,unused-ignore]
    return product + biases[torch.repeat_interleave(counts, output_size=len(rows))]


def _product_of_usual_size(bias: Tensor, rows: Tensor, matrix: Tensor) -> Tensor:
    """bias + rows @ matrix, with rows of zeros added up to one of a few sizes.

    On a processor oneDNN compiles a kernel for each size of a product in bf16, which takes longer than the product;
    groups hardly ever have the same size twice.
    """
    count = len(rows)
    # Eight sizes from a power of two to the next, multiples of 16: at most an eighth more, or 15 rows.
    step = 1 << max(count.bit_length() - 4, 4)
    missing = -count % step
    return torch.addmm(bias, F.pad(rows, (0, 0, 0, missing)), matrix)[:count]


def takes_together(rows: Tensor, matrices: Tensor) -> bool:
    """Whether torch's grouped product takes the operands: known types, rows and matrices aligned to 16 bytes."""
    if not hasattr(F, "grouped_mm") or rows.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return False
    if rows.is_cuda and (
        rows.dtype != torch.bfloat16 or torch.cuda.get_device_capability(rows.device) < (8, 0)
    ):
        return False
    aligned = 16 // rows.element_size()
    return len(rows) > 0 and all(size % aligned == 0 for size in (*rows.shape[1:], *matrices.shape[1:]))
