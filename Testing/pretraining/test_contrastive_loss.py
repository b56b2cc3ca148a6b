"""NT-Xent, against a loop over pairs."""

import math

import numpy as np
import pytest
import torch

from magpie_core.pretraining.pretraining_step import nt_xent


def _double_loop(embeddings, locations, subjects, temperature):
    """Every ordered pair of a location's views, each against the views of other subjects."""
    rows = embeddings.double().numpy()
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    terms = []
    for i in range(len(rows)):
        for j in range(len(rows)):
            if i == j or locations[i] != locations[j]:
                continue
            positive = math.exp(rows[i] @ rows[j] / temperature)
            negatives = sum(
                math.exp(rows[i] @ rows[n] / temperature) for n in range(len(rows)) if subjects[n] != subjects[i]
            )
            terms.append(-math.log(positive / (positive + negatives)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_equals_a_loop_over_pairs(views, temperature):
    torch.manual_seed(views)
    embeddings = torch.randn(4 * views, 16)
    locations = torch.arange(4).repeat_interleave(views)
    found = nt_xent(embeddings, locations, locations + 10, temperature=temperature)
    assert float(found) == pytest.approx(_double_loop(embeddings, locations, locations, temperature), abs=1e-5)


def test_nt_xent_of_two_views_per_subject_is_that_of_simclr():
    """As published: cross-entropy of the positive among all others, 2 N - 2 of which are negatives."""
    torch.manual_seed(0)
    embeddings = torch.randn(8, 16)
    locations = torch.arange(4).repeat_interleave(2)
    directions = torch.nn.functional.normalize(embeddings, dim=1)
    logits = (directions @ directions.T / 0.1).fill_diagonal_(-torch.inf)
    positives = torch.arange(8) ^ 1
    torch.testing.assert_close(
        nt_xent(embeddings, locations, locations), torch.nn.functional.cross_entropy(logits, positives)
    )


def test_nt_xent_has_no_negatives_of_the_same_subject():
    torch.manual_seed(0)
    embeddings = torch.randn(6, 8)
    locations, subjects = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([5, 5, 5, 5, 6, 6])
    found = nt_xent(embeddings, locations, subjects)
    assert float(found) == pytest.approx(_double_loop(embeddings, locations, subjects, 0.1), abs=1e-5)
    assert found < nt_xent(embeddings, locations, locations)


def test_nt_xent_is_0_without_negatives_or_positives():
    embeddings = torch.randn(2, 8, requires_grad=True)
    alone = nt_xent(embeddings, torch.tensor([0, 0]), torch.tensor([0, 0]))
    alone.backward()
    assert alone == 0 and embeddings.grad.isfinite().all()
    assert nt_xent(torch.randn(3, 8), torch.arange(3), torch.arange(3)) == 0


def test_nt_xent_is_lower_for_similar_views():
    torch.manual_seed(0)
    base = torch.randn(4, 16)
    locations = torch.arange(4).repeat_interleave(2)
    together = base.repeat_interleave(2, dim=0)
    assert nt_xent(together, locations, locations) < nt_xent(torch.randn(8, 16), locations, locations)
