"""Synthetic studies: a function of the seed, and like gliomas in what a radiologist looks at."""

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.generator import GliomaGenerator
from magpie_core.synthesis.phenotype import Phenotype

T1, T1CE, T2, FLAIR = range(4)


def test_the_same_seed_gives_the_same_study_whatever_was_made_before(phantom_head, generator):
    (expected,) = generator.sample(11)
    fresh = GliomaGenerator(Anatomy([phantom_head]), spacing_mm=2.0, shape=(64, 72, 64))
    fresh.sample(3)
    (again,) = fresh.sample(11)
    assert np.array_equal(again.images, expected.images)
    assert np.array_equal(again.labels, expected.labels)


def test_a_graphics_card_makes_the_same_study_every_time(phantom_head, graphics_card):
    made = [
        GliomaGenerator(
            Anatomy([phantom_head]), spacing_mm=2.0, shape=(64, 72, 64), device=graphics_card
        ).sample(seed, kind=Phenotype.GLIOBLASTOMA)[0]
        for seed in (11, 11, 12)
    ]
    assert (made[0].labels == made[1].labels).mean() > 0.999  # sums in another order
    assert np.allclose(made[0].images, made[1].images, rtol=1e-3, atol=1e-2)
    assert not np.array_equal(made[0].labels, made[2].labels)
    for study in made:
        assert np.isfinite(study.images).all() and study.labels.any()
        assert not study.labels[~study.brain].any()


def test_another_seed_gives_another_study(generator):
    assert not np.array_equal(generator.sample(1)[0].labels, generator.sample(2)[0].labels)


def test_renderings_share_the_tumor_and_differ_in_look(generator):
    first, second = generator.sample(5, renderings=2)
    both = first.brain & second.brain
    assert np.array_equal(first.labels[both], second.labels[both])
    assert not np.allclose(first.images[:, both], second.images[:, both])


@pytest.mark.parametrize("kind", list(Phenotype), ids=lambda kind: kind.value)
def test_every_kind_gives_a_sound_study(generator, kind):
    (study,) = generator.sample(21, kind=kind)
    assert study.kind == kind.value
    assert study.images.shape == (4, 64, 72, 64) and study.images.dtype == np.float32
    assert np.isfinite(study.images).all() and (study.images >= 0).all()
    assert not study.images[:, ~study.brain].any()
    assert set(np.unique(study.labels)) <= {0, 1, 2, 3}
    assert not study.labels[~study.brain].any()
    if kind is Phenotype.NONE:
        assert not study.labels.any()
    else:
        assert study.labels.any()


def _scaled(study):
    from magpie_core.preprocessing.intensities import scale_intensities

    return np.stack([scale_intensities(image, study.brain) for image in study.images])


def test_enhancing_tumor_is_bright_after_contrast_and_edema_on_flair(generator):
    brighter, shining = [], []
    for seed in range(30, 42):
        (study,) = generator.sample(seed, kind=Phenotype.GLIOBLASTOMA)
        images = _scaled(study)
        rest = study.brain & (study.labels == 0)
        if (study.labels == 3).sum() > 50:
            brighter.append(images[T1CE][study.labels == 3].mean() - images[T1CE][rest].mean())
        if (study.labels == 2).sum() > 50:
            shining.append(images[FLAIR][study.labels == 2].mean() - images[FLAIR][rest].mean())
    assert len(brighter) > 6 and np.median(brighter) > 0.5
    assert len(shining) > 6 and np.median(shining) > 0.5


def test_tumor_volumes_are_those_of_gliomas(generator):
    volumes_ml = [
        (generator.sample(seed, kind=Phenotype.GLIOBLASTOMA)[0].labels > 0).sum() * 0.008
        for seed in range(10)
    ]
    assert 5 < np.median(volumes_ml) < 250


def test_a_study_becomes_one_that_can_be_segmented(generator):
    (study,) = generator.sample(4)
    real = study.to_study()
    truth = study.to_segmentation()
    assert [name.value for name in real.modalities] == ["T1", "T1CE", "T2", "FLAIR"]
    assert truth.geometry.matches(real.volumes[real.reference].geometry)


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (10, 10, 10)},
        {"shape": (65, 72, 64)},
        {"spacing_mm": 9.0},
        {"spacing_mm": 0.0},
        {"spacing_mm": float("nan")},
    ],
)
def test_a_grid_that_cannot_hold_a_brain_is_refused(phantom_head, options):
    with pytest.raises(InputError, match="grid"):
        GliomaGenerator(Anatomy([phantom_head]), **options)


def test_a_study_of_one_millimeter_can_be_made(phantom_head):
    fine = GliomaGenerator(Anatomy([phantom_head]), spacing_mm=1.0, shape=(64, 64, 64), least_tumor_ml=0.0)
    (study,) = fine.sample(2, kind=Phenotype.SOLID)
    assert study.images.shape == (4, 64, 64, 64) and np.isfinite(study.images).all()


def test_a_whole_head_keeps_skull_and_skin_and_the_true_brain(phantom_head):
    whole = GliomaGenerator(Anatomy([phantom_head]), spacing_mm=2.0, shape=(64, 72, 64), whole_head=True)
    (study,) = whole.sample(3, kind="glioblastoma")
    (again,) = whole.sample(3, kind="glioblastoma")
    assert np.array_equal(study.images, again.images)
    assert np.isfinite(study.images).all() and study.images.min() >= 0
    outside = study.images[:, ~study.brain]
    assert (outside > 0.02 * study.images.max(axis=(1, 2, 3))[:, None]).mean() > 0.02
    assert not study.labels[~study.brain].any()
    bare = GliomaGenerator(Anatomy([phantom_head]), spacing_mm=2.0, shape=(64, 72, 64))
    (stripped,) = bare.sample(3, kind="glioblastoma")
    assert (
        np.array_equal(study.labels > 0, stripped.labels > 0)
        or (study.labels > 0).sum() >= (stripped.labels > 0).sum()
    )  # the same tumor; an imperfect mask may cut it
