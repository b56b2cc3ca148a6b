"""What holds for every study, whatever its seed, kind and recipe."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from scipy import ndimage

from magpie_core.errors import InputError
from magpie_core.synthesis import acquisition
from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.config import GeneratorConfig
from magpie_core.synthesis.fields import smooth_field
from magpie_core.synthesis.generator import GliomaGenerator
from magpie_core.synthesis.phenotype import Phenotype
from magpie_core.synthesis.rng import Rng

few = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
many = settings(max_examples=40, deadline=None, derandomize=True)
seeds = some.integers(0, 2**40)


@given(seed=seeds, kind=some.sampled_from(list(Phenotype)))
@few
def test_a_study_is_sound(coarse_generator, seed, kind):
    (study,) = coarse_generator.sample(seed, kind=kind)
    images, labels, brain = study.images, study.labels, study.brain
    assert np.isfinite(images).all() and (images >= 0).all()
    assert not images[:, ~brain].any() and not labels[~brain].any()
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    assert images[:, brain].std(axis=1).min() > 0
    volume_ml = (labels > 0).sum() * 0.064
    if kind is Phenotype.NONE:
        assert volume_ml == 0
    else:
        # the phantom holds 0.6 l; the largest tumor nearly fills it
        assert 0.05 <= volume_ml <= 0.97 * brain.sum() * 0.064
    assert brain.sum() * 0.064 > 300


@given(seed=seeds)
@few
def test_enhancement_lies_in_the_core_and_most_of_the_edema_around_it(coarse_generator, seed):
    (study,) = coarse_generator.sample(seed, kind=Phenotype.GLIOBLASTOMA)
    core = np.isin(study.labels, (1, 3))
    edema = study.labels == 2
    if edema.sum() > 60 and core.any():
        # a front from the core: edema is connected to it, but for what the brain's folds cut off
        parts, _ = ndimage.label(core | edema, np.ones((3, 3, 3)))
        with_core = np.unique(parts[core])
        assert np.isin(parts[edema], with_core).mean() > 0.8


@given(seed=seeds)
@few
def test_a_study_does_not_depend_on_what_was_asked_before(coarse_generator, seed):
    (first,) = coarse_generator.sample(seed)
    first_of_two, _ = coarse_generator.sample(seed, renderings=2)
    assert np.array_equal(first.images, first_of_two.images)
    assert np.array_equal(first.labels, first_of_two.labels)


@given(seed=seeds, length=some.floats(1.0, 60.0))
@many
def test_smooth_fields_have_unit_deviation_and_no_edges(seed, length):
    fields = torch.stack([smooth_field(Rng(seed, i), (24, 20, 28), length) for i in range(12)])
    assert torch.isfinite(fields).all()
    assert 0.6 < float(fields.square().mean().sqrt()) < 1.5
    if length > 8:
        steps = fields.diff(dim=1).abs().max()
        assert float(steps) < 14.0 / length


def images_of(seed):
    canvas = Canvas((20, 24, 16), 2.0, Rng(seed))
    return canvas, canvas.smooth(12.0).abs_().add_(0.2)


@pytest.mark.parametrize(
    "effect",
    [
        acquisition.BiasField(),
        acquisition.ThickSlices(),
        acquisition.Blur(),
        acquisition.Misregistration(),
        acquisition.Misregistration(turned=1.0),
        acquisition.Ghosting(),
        acquisition.KSpaceSpike(),
        acquisition.PartialFieldOfView(),
    ],
    ids=lambda effect: type(effect).__name__,
)
@given(seed=seeds)
@settings(max_examples=10, deadline=None, derandomize=True)
def test_an_effect_keeps_an_image_an_image(effect, seed):
    canvas, image = images_of(seed)
    before = image.clone()
    after = effect.apply(canvas, image)
    assert after.shape == image.shape and torch.isfinite(after).all() and float(after.min()) >= -1e-5
    assert torch.equal(image, before)
    assert 0.3 < float(after.mean() / before.mean()) < 3


@pytest.mark.parametrize("lower", [0.0, 1.0])
def test_a_partial_field_of_view_empties_one_end_only(lower):
    canvas, image = images_of(3)
    after = acquisition.PartialFieldOfView(lower=lower).apply(canvas, image)
    empty = (after == 0).all(0).all(0)
    assert 1 <= int(empty.sum()) <= image.shape[2] // 3
    assert bool(empty[0]) == (lower == 1.0) and bool(empty[-1]) == (lower == 0.0)


def test_a_spike_is_a_single_wave():
    canvas, image = images_of(5)
    stripes = acquisition.KSpaceSpike(strength=(0.1, 0.1)).apply(canvas, image) - image
    spectrum = torch.fft.rfftn(stripes).abs().flatten()
    assert float(spectrum.topk(4).values.square().sum() / spectrum.square().sum()) > 0.5


def test_noise_is_as_strong_as_asked():
    canvas = Canvas((40, 40, 40), 1.0, Rng(1))
    flat = canvas.zeros() + 10.0
    for smooth, strength in ((0.0, 0.5), (1.0, 0.2)):
        noise = acquisition.RicianNoise(sd=0.0, floor=0.05, smooth=smooth)
        assert float(noise.apply(canvas, flat, 10.0).std()) == pytest.approx(strength, rel=0.12)


@given(seed=seeds)
@settings(max_examples=4, deadline=None, derandomize=True)
def test_without_any_effect_a_study_is_clean_and_repeatable(phantom_anatomy, seed):
    plain = GeneratorConfig.default()
    names = [name.replace("_", "-") for name in vars(plain.effects)]
    plain = plain.without(*names)
    generator = GliomaGenerator(phantom_anatomy, recipe=plain, spacing_mm=4.0, shape=(32, 36, 32))
    (study,) = generator.sample(seed, kind="glioblastoma")
    assert np.isfinite(study.images).all()
    assert (study.labels == 2).sum() == 0  # no edema, because its front is switched off


@pytest.mark.parametrize("target", ["white-matter-lesions", "stroke", "multiple-sclerosis"])
def test_another_lesion_can_be_the_target(phantom_anatomy, target):
    recipe = replace(GeneratorConfig.default(), target=target)
    generator = GliomaGenerator(phantom_anatomy, recipe=recipe, spacing_mm=4.0, shape=(32, 36, 32))
    found = []
    for seed in range(6):
        (study,) = generator.sample(seed)
        assert study.kind == target
        assert set(np.unique(study.labels)) <= {0, 2}
        found.append((study.labels > 0).sum())
    assert np.median(found) > 0


def test_a_stroke_stays_on_one_side(phantom_anatomy):
    recipe = replace(GeneratorConfig.default(), target="stroke").without("pose", "bending", "misregistration")
    wedge = replace(recipe.effects.stroke, lacune=0.0, radius_mm=(40.0, 45.0))
    recipe = replace(recipe, effects=replace(recipe.effects, stroke=wedge))
    generator = GliomaGenerator(phantom_anatomy, recipe=recipe, spacing_mm=4.0, shape=(32, 36, 32))
    for seed in range(8):
        (study,) = generator.sample(seed)
        left, right = (int((half > 0).sum()) for half in np.split(study.labels, 2))
        assert max(left, right) > 0 and min(left, right) <= 0.1 * max(left, right)


def test_every_study_has_its_white_matter_lesions(phantom_anatomy):
    recipe = replace(GeneratorConfig.default(), target="white-matter-lesions")
    generator = GliomaGenerator(phantom_anatomy, recipe=recipe, spacing_mm=4.0, shape=(32, 36, 32))
    found = [(generator.sample(seed)[0].labels > 0).sum() for seed in range(12)]
    assert sum(count > 0 for count in found) >= 11


@pytest.mark.parametrize("name", [name.replace("_", "-") for name in vars(GeneratorConfig.default().effects)])
def test_switching_an_effect_off_changes_something(phantom_anatomy, name):
    recipe = GeneratorConfig.default()
    attribute = name.replace("-", "_")
    always = replace(getattr(recipe.effects, attribute), probability=1.0)
    recipe = replace(recipe, effects=replace(recipe.effects, **{attribute: always}))
    kind = "multifocal" if name == "satellites" else "hemorrhagic"
    on, off = (
        GliomaGenerator(phantom_anatomy, recipe=each, spacing_mm=4.0, shape=(32, 36, 32))
        for each in (recipe, recipe.without(name))
    )
    assert any(
        not np.array_equal(on.sample(seed, kind=kind)[0].images, off.sample(seed, kind=kind)[0].images)
        for seed in range(8)
    )


def test_other_modalities_show_what_a_radiologist_expects(phantom_anatomy):
    recipe = replace(GeneratorConfig.default(), target="stroke", modalities=("FLAIR", "DWI", "ADC", "SWI"))
    stroke = replace(recipe.effects.stroke, acute=1.0, lacune=0.0)
    recipe = replace(recipe, effects=replace(recipe.effects, stroke=stroke)).without("tissue-contrast")
    generator = GliomaGenerator(phantom_anatomy, recipe=recipe, spacing_mm=4.0, shape=(32, 36, 32))
    for seed in range(3):
        (study,) = generator.sample(seed)
        assert study.order == ("FLAIR", "DWI", "ADC", "SWI")
        inside, rest = study.labels > 0, study.brain & (study.labels == 0)
        if inside.sum() > 20:
            diffusion, coefficient = study.images[1], study.images[2]
            assert np.median(diffusion[inside]) > 1.2 * np.median(diffusion[rest])
            assert np.median(coefficient[inside]) < 0.8 * np.median(coefficient[rest])


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("pose", {"shift_sd_mm": (900.0, 900.0, 900.0)}, "no brain"),
        ("bias_field", {"sd": 1000.0}, "no numbers"),
    ],
)
def test_a_recipe_that_makes_no_study_is_told(phantom_anatomy, name, changes, told):
    recipe = GeneratorConfig.default()
    effect = replace(getattr(recipe.effects, name), **changes)
    recipe = replace(recipe, effects=replace(recipe.effects, **{name: effect}))
    for spacing_mm in (4.0, 1.5):
        generator = GliomaGenerator(
            phantom_anatomy, recipe=recipe, spacing_mm=spacing_mm, shape=(32, 36, 32), least_tumor_ml=0.0
        )
        with pytest.raises(InputError, match=told):
            generator.sample(1)
