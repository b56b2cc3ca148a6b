"""Synthetic studies: reproducible from the seed, and like gliomas in volume and contrast."""

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.synthesis.generator import GliomaGenerator
from magpie_core.synthesis.phenotype import Phenotype

T1, T1CE, T2, FLAIR = range(4)


def test_same_seed_gives_the_same_study_in_any_order(phantom_anatomy, generator):
    (expected,) = generator.sample(11)
    fresh = GliomaGenerator(phantom_anatomy, spacing_mm=2.0, shape=(64, 72, 64))
    fresh.sample(3)
    (again,) = fresh.sample(11)
    assert np.array_equal(again.images, expected.images)
    assert np.array_equal(again.labels, expected.labels)


def test_study_on_a_gpu_is_reproducible(phantom_anatomy, cuda_device):
    made = [
        GliomaGenerator(phantom_anatomy, spacing_mm=2.0, shape=(64, 72, 64), device=cuda_device).sample(
            seed, phenotype=Phenotype.GLIOBLASTOMA
        )[0]
        for seed in (11, 11, 12)
    ]
    assert (made[0].labels == made[1].labels).mean() > 0.999  # sums in another order
    assert np.allclose(made[0].images, made[1].images, rtol=1e-3, atol=1e-2)
    assert not np.array_equal(made[0].labels, made[2].labels)
    for study in made:
        assert np.isfinite(study.images).all() and study.labels.any()
        assert not study.labels[~study.brain].any()


def test_different_seeds_give_different_studies(generator):
    assert not np.array_equal(generator.sample(1)[0].labels, generator.sample(2)[0].labels)


def test_renderings_share_labels_and_differ_in_intensities(generator):
    first, second = generator.sample(5, renderings=2)
    both = first.brain & second.brain
    assert np.array_equal(first.labels[both], second.labels[both])
    assert not np.allclose(first.images[:, both], second.images[:, both])


@pytest.mark.parametrize("phenotype", list(Phenotype), ids=lambda phenotype: phenotype.value)
def test_every_phenotype_gives_a_valid_study(generator, phenotype):
    (study,) = generator.sample(21, phenotype=phenotype)
    assert study.phenotype == phenotype.value
    assert study.images.shape == (4, 64, 72, 64) and study.images.dtype == np.float32
    assert np.isfinite(study.images).all() and (study.images >= 0).all()
    assert not study.images[:, ~study.brain].any()
    assert set(np.unique(study.labels)) <= {0, 1, 2, 3}
    assert not study.labels[~study.brain].any()
    if phenotype is Phenotype.NONE:
        assert not study.labels.any()
    else:
        assert study.labels.any()


def _scaled(study):
    from magpie_core.preprocessing.intensities import scale_intensities

    return np.stack([scale_intensities(image, study.brain) for image in study.images])


def test_enhancing_tumor_is_bright_on_t1ce_and_edema_on_flair(generator):
    enhancing, edematous = [], []
    for seed in range(30, 42):
        (study,) = generator.sample(seed, phenotype=Phenotype.GLIOBLASTOMA)
        images = _scaled(study)
        rest = study.brain & (study.labels == 0)
        if (study.labels == 3).sum() > 50:
            enhancing.append(images[T1CE][study.labels == 3].mean() - images[T1CE][rest].mean())
        if (study.labels == 2).sum() > 50:
            edematous.append(images[FLAIR][study.labels == 2].mean() - images[FLAIR][rest].mean())
    assert len(enhancing) > 6 and np.median(enhancing) > 0.5
    assert len(edematous) > 6 and np.median(edematous) > 0.5


def test_tumor_volumes_are_in_the_range_of_gliomas(generator):
    volumes_ml = [
        (generator.sample(seed, phenotype=Phenotype.GLIOBLASTOMA)[0].labels > 0).sum() * 0.008 for seed in range(10)
    ]
    assert 5 < np.median(volumes_ml) < 250


def test_synthetic_study_converts_to_study_and_segmentation(generator):
    (study,) = generator.sample(4)
    real = study.to_study()
    reference = study.to_segmentation()
    assert [name.value for name in real.modalities] == ["T1", "T1CE", "T2", "FLAIR"]
    assert reference.geometry.matches(real.volumes[real.reference].geometry)


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
def test_grid_that_cannot_hold_a_brain_is_rejected(phantom_anatomy, options):
    with pytest.raises(InputError, match="grid"):
        GliomaGenerator(phantom_anatomy, **options)


def test_study_at_1_mm_is_valid(phantom_anatomy):
    fine = GliomaGenerator(phantom_anatomy, spacing_mm=1.0, shape=(64, 64, 64))
    (study,) = fine.sample(2, phenotype=Phenotype.SOLID)
    assert study.images.shape == (4, 64, 64, 64) and np.isfinite(study.images).all()


def test_whole_head_keeps_skull_and_the_true_brain_mask(phantom_anatomy):
    whole = GliomaGenerator(phantom_anatomy, spacing_mm=2.0, shape=(64, 72, 64), whole_head=True)
    (study,) = whole.sample(3, phenotype="glioblastoma")
    (again,) = whole.sample(3, phenotype="glioblastoma")
    assert np.array_equal(study.images, again.images)
    assert np.isfinite(study.images).all() and study.images.min() >= 0
    outside = study.images[:, ~study.brain]
    assert (outside > 0.02 * study.images.max(axis=(1, 2, 3))[:, None]).mean() > 0.02
    assert not study.labels[~study.brain].any()
    bare = GliomaGenerator(phantom_anatomy, spacing_mm=2.0, shape=(64, 72, 64))
    (stripped,) = bare.sample(3, phenotype="glioblastoma")
    assert (
        np.array_equal(study.labels > 0, stripped.labels > 0) or (study.labels > 0).sum() >= (stripped.labels > 0).sum()
    )  # the same tumor; an imperfect mask may cut it
