"""The brain-extraction network is trained on synthetic heads, and an interrupted training is resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from magpie_core.preprocessing.brain_extraction import SHAPE, brain_network
from magpie_core.storage.manifest import verify_manifest
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.training.brain_extraction_training import HeadSource, train_brain_extraction
from magpie_core.training.checkpoints import load_checkpoint


@pytest.fixture(scope="module")
def source(anatomy_folder: Path) -> HeadSource:
    made = HeadSource(Anatomy.find(anatomy_folder), seed=0)
    made.make(1)
    return made


def test_head_source_draws_a_head_with_its_brain_in_any_contrast(source: HeadSource) -> None:
    rng = np.random.default_rng(0)
    drawn = [source.draw(rng) for _ in range(12)]
    for image, brain in drawn:
        assert image.shape == brain.shape == (1, *SHAPE)
        assert torch.isfinite(image).all() and image.min() >= 0 and image.max() <= 1.5
        assert set(brain.unique().tolist()) <= {0.0, 1.0}
        assert 300 < float(brain.sum()) * 0.027 < 2900  # ml; a part may be out of view
    outside = [float(image[(brain == 0) & (image > 0.1)].numel()) for image, brain in drawn]
    assert min(outside) > 1000  # skin, fat and bone
    means = {round(float(image[brain > 0].mean()), 2) for image, brain in drawn}
    assert len(means) > 6


def test_head_source_draws_the_same_for_the_same_rng(source: HeadSource) -> None:
    first, second = (source.draw(np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_training_writes_weights_that_verify_and_is_resumed(anatomy_folder: Path, tmp_path: Path) -> None:
    weights = train_brain_extraction(anatomy_folder, tmp_path, minutes=60, steps=2)
    verify_manifest(weights, required=("weights.safetensors", "card.md"))
    state = {name: value.float() for name, value in load_file(weights / "weights.safetensors").items()}
    brain_network().load_state_dict(state)
    before = load_checkpoint(tmp_path)["step"]
    train_brain_extraction(anatomy_folder, tmp_path, minutes=60, steps=4)
    assert load_checkpoint(tmp_path)["step"] > before > 0
