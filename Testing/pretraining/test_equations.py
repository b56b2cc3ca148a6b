"""The losses of pretraining, against numbers worked out without torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from magpie_core.networks.mixture_of_experts import route
from magpie_core.pretraining.config import PretrainingConfig
from magpie_core.pretraining.masked_autoencoder import Reconstruction
from magpie_core.pretraining.pretraining_step import PretrainingStep
from magpie_core.training.sample import Sample

NAMES = ("T1", "T1CE", "T2", "FLAIR")


class _Phantoms:
    def draw(self, rng):
        images = rng.normal(0, 1, (4, 20, 24, 28)).astype(np.float32)
        return Sample.pack(images, np.zeros(images.shape[1:]), name=f"subject {rng.integers(10**6)}")


def _nt_xent(embeddings: np.ndarray, temperature: float) -> float:
    """SimCLR's equation 1, of two views a subject, those of a subject side by side."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    similar = np.exp(unit @ unit.T / temperature)
    count = len(unit)
    terms = [-np.log(similar[i, i ^ 1] / (similar[i].sum() - similar[i, i])) for i in range(count)]
    return float(np.mean(terms))


@pytest.mark.parametrize("masked_only", [True, False])
def test_magpie_pretraining_loss_is_masked_reconstruction_contrast_and_load_balance(masked_only):
    config = PretrainingConfig(
        view_size=(8, 16, 12), block_size=4, batch_size=3, masked_only=masked_only, center_embeddings=False,
        reconstruction=0.7, contrast=0.3, balance=0.2, router_z=0.05, temperature=0.4,
    )  # fmt: skip
    config = replace(config, augmentation=replace(config.augmentation, drop=0.0))
    step = PretrainingStep(_Phantoms(), config, NAMES, "cpu")
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(6, 4, 8, 16, 12, generator=generator)
    embedding = torch.randn(6, 5, generator=generator)
    routing = tuple(route(torch.randn(50, 4, generator=generator) * scale, 2, None) for scale in (1.0, 3.0))
    batches = []

    def forward(masked, visible, modalities, present):
        batches.append(visible)
        return Reconstruction(images, embedding, routing)

    found = step(forward, 0.0, np.random.default_rng(3))
    targets = step.draw(np.random.default_rng(3)).targets.numpy()
    hidden = np.broadcast_to(~batches[0].numpy(), targets.shape) if masked_only else np.ones(targets.shape, bool)
    squared = (images.numpy() - targets) ** 2
    error = np.mean([squared[view][hidden[view]].mean() for view in range(6)])
    # The views of a subject lie side by side.
    order = np.argsort(step.draw(np.random.default_rng(3)).subjects.numpy(), kind="stable")
    contrast = _nt_xent(embedding.numpy()[order].astype(float), 0.4)
    routed = np.mean([0.2 * float(r.balance_loss) + 0.05 * float(r.z_loss) for r in routing])
    assert float(found.loss) == pytest.approx(0.7 * error + 0.3 * contrast + routed, rel=1e-4)
    assert 0.5 < hidden.mean() <= 1
