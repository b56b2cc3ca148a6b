"""Packed samples: small, exact outside the brain, cut anywhere."""

import numpy as np
import torch

from magpie_core.training.sample import Sample


def _sample(seed=0):
    random = np.random.default_rng(seed)
    images = np.zeros((4, 20, 24, 16), np.float32)
    images[:, 4:16, 4:20, 4:12] = random.standard_normal((4, 12, 16, 8)).clip(-4, 6)
    labels = np.zeros((20, 24, 16), np.uint8)
    labels[8:12, 8:12, 6:10] = 2
    return images, labels, Sample.pack(images, labels, name="one")


def test_packing_keeps_intensities_to_half_a_step_and_the_outside_exactly():
    images, labels, sample = _sample()
    back, marked = sample.box((0, 0, 0), sample.shape)
    assert np.abs(back.numpy() - images).max() <= 0.5 / 25.5 + 1e-6
    assert (back.numpy()[images == 0] == 0).all()
    assert (marked.numpy() == labels).all()


def test_a_box_beyond_the_sample_is_filled_with_outside():
    _, labels, sample = _sample()
    images, marked = sample.box((-6, 10, 5), (18, 20, 18))
    assert images.shape == (4, 18, 20, 18)
    assert (images[:, :6] == 0).all() and (marked[:, 14:] == 0).all()
    assert (marked[6:, :14, :11].numpy() == labels[:12, 10:, 5:]).all()


def test_a_box_that_misses_the_sample_is_empty():
    _, _, sample = _sample()
    images, marked = sample.box((100, 100, 100), (8, 8, 8))
    assert not images.any() and not marked.any()


def test_places_lie_in_the_tumour_or_in_the_brain():
    images, labels, sample = _sample()
    tumour = sample.places(tumour=True, step=2)
    assert len(tumour) and all(labels[tuple(place)] for place in tumour)
    brain = sample.places(tumour=False, step=2)
    assert len(brain) > len(tumour) and all(images[(slice(None), *place)].any() for place in brain)


def test_targets_nest():
    from magpie_core.training.objectives import region_targets

    targets = region_targets(torch.tensor([[[0, 1, 2, 3]]]))
    assert targets[:, 0, 0].tolist() == [[0, 0, 0, 1], [0, 1, 0, 1], [0, 1, 1, 1]]
