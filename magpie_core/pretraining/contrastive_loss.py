"""Contrastive loss: views of one location against views of other subjects."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def nt_xent(embeddings: Tensor, locations: Tensor, subjects: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Compute NT-Xent (SimCLR, arXiv 2002.05709, equation 1) with any number of views of a location.

    A view's positives are the other views of its location, each in turn against its negatives: the views of other
    subjects. Another location of the same subject is neither, for it may overlap. With two views of each of N
    subjects this is NT-Xent as published, with 2 N - 2 negatives.

    Args:
        embeddings: (N, E); only their directions matter.
        locations, subjects: (N,) integers: views with the same number show the same location, or the same subject.
        temperature: tau.

    Returns:
        Tensor: Mean over all ordered pairs of a location's views; 0 if no location has two.
    """
    directions = F.normalize(embeddings.float(), dim=1)
    similarity = directions @ directions.T / temperature
    positive = locations[:, None] == locations[None]
    positive.fill_diagonal_(False)
    negative = subjects[:, None] != subjects[None]
    against = similarity.masked_fill(~negative, -torch.inf).logsumexp(dim=1, keepdim=True)
    terms = torch.logaddexp(similarity, against) - similarity
    return torch.where(positive, terms, 0.0).sum() / positive.sum().clamp_min(1)
