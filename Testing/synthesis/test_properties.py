"""Properties of every study, for any seed, phenotype and configuration."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as some
from scipy import ndimage

from magpie_core.errors import InputError
from magpie_core.synthesis import acquisition
from magpie_core.synthesis.canvas import Canvas
from magpie_core.synthesis.config import GeneratorConfig
from magpie_core.synthesis.generator import GliomaGenerator
from magpie_core.synthesis.phenotype import Phenotype
from magpie_core.synthesis.rng import Rng
from magpie_core.synthesis.volume_operations import rotation_matrix, rotation_tensor

few = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
many = settings(max_examples=40, deadline=None, derandomize=True)
seeds = some.integers(0, 2**40)


@given(seed=seeds, phenotype=some.sampled_from(list(Phenotype)))
@few
def test_study_is_valid(coarse_generator, seed, phenotype):
    (study,) = coarse_generator.sample(seed, phenotype=phenotype)
    images, labels, brain = study.images, study.labels, study.brain
    assert np.isfinite(images).all() and (images >= 0).all()
    assert not images[:, ~brain].any() and not labels[~brain].any()
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    assert images[:, brain].std(axis=1).min() > 0
    volume_ml = (labels > 0).sum() * 0.064
    if phenotype is Phenotype.NONE:
        assert volume_ml == 0
    else:
        # the phantom holds 0.6 l; the largest tumor nearly fills it
        assert 0.05 <= volume_ml <= 0.97 * brain.sum() * 0.064
    assert brain.sum() * 0.064 > 300


@given(seed=seeds)
@few
def test_most_edema_is_connected_to_the_core(coarse_generator, seed):
    (study,) = coarse_generator.sample(seed, phenotype=Phenotype.GLIOBLASTOMA)
    core = np.isin(study.labels, (1, 3))
    edema = study.labels == 2
    if edema.sum() > 60 and core.any():
        # a front from the core: edema is connected to it, but for what the brain's folds cut off
        parts, _ = ndimage.label(core | edema, np.ones((3, 3, 3)))
        with_core = np.unique(parts[core])
        assert np.isin(parts[edema], with_core).mean() > 0.8


@given(seed=seeds)
@few
def test_study_does_not_depend_on_the_number_of_renderings(coarse_generator, seed):
    (first,) = coarse_generator.sample(seed)
    first_of_two, _ = coarse_generator.sample(seed, renderings=2)
    assert np.array_equal(first.images, first_of_two.images)
    assert np.array_equal(first.labels, first_of_two.labels)


@given(seed=seeds, length=some.floats(1.0, 60.0))
@many
def test_smooth_fields_have_unit_deviation_and_no_edges(seed, length):
    fields = torch.stack([Canvas((24, 20, 28), 1.0, Rng(seed, i)).smooth_noise(length) for i in range(12)])
    assert torch.isfinite(fields).all()
    assert 0.6 < float(fields.square().mean().sqrt()) < 1.5
    if length > 8:
        steps = fields.diff(dim=1).abs().max()
        assert float(steps) < 14.0 / length


def images_of(seed):
    canvas = Canvas((20, 24, 16), 2.0, Rng(seed))
    return canvas, canvas.smooth_noise(12.0).abs_().add_(0.2)


@pytest.mark.parametrize(
    "transform",
    [
        acquisition.BiasField(),
        acquisition.ThickSlices(),
        acquisition.Blur(),
        acquisition.Misregistration(),
        acquisition.Misregistration(rotated=1.0),
        acquisition.Ghosting(),
        acquisition.KSpaceSpike(),
        acquisition.PartialFieldOfView(),
    ],
    ids=lambda transform: type(transform).__name__,
)
@given(seed=seeds)
@settings(max_examples=10, deadline=None, derandomize=True)
def test_artifact_keeps_shape_sign_and_mean_of_an_image(transform, seed):
    canvas, image = images_of(seed)
    before = image.clone()
    after = transform.apply(canvas, image)
    assert after.shape == image.shape and torch.isfinite(after).all() and float(after.min()) >= -1e-5
    assert torch.equal(image, before)
    assert 0.3 < float(after.mean() / before.mean()) < 3


@pytest.mark.parametrize("lower", [0.0, 1.0])
def test_partial_field_of_view_empties_one_end_only(lower):
    canvas, image = images_of(3)
    after = acquisition.PartialFieldOfView(lower=lower).apply(canvas, image)
    empty = (after == 0).all(0).all(0)
    assert 1 <= int(empty.sum()) <= image.shape[2] // 3
    assert bool(empty[0]) == (lower == 1.0) and bool(empty[-1]) == (lower == 0.0)


def test_spike_is_a_single_wave():
    canvas, image = images_of(5)
    stripes = acquisition.KSpaceSpike(strength=(0.1, 0.1)).apply(canvas, image) - image
    spectrum = torch.fft.rfftn(stripes).abs().flatten()
    assert float(spectrum.topk(4).values.square().sum() / spectrum.square().sum()) > 0.5


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("nearest", [False, True])
def test_thick_slices_average_along_one_axis_only(axis, nearest):
    image = torch.rand(24, 20, 28, generator=torch.Generator().manual_seed(1))
    count = image.shape[axis] // 2
    thick = acquisition.average_slices(image, axis, count, nearest=nearest)
    assert thick.shape == image.shape and float(thick.mean()) == pytest.approx(float(image.mean()), abs=0.01)
    assert float(thick.diff(dim=axis).square().mean()) < 0.5 * float(image.diff(dim=axis).square().mean())
    constant = torch.full_like(image, 3.0)
    torch.testing.assert_close(acquisition.average_slices(constant, axis, count, nearest=nearest), constant)


def test_gamma_keeps_the_ends_of_the_range():
    image = torch.linspace(-2.0, 3.0, 11)
    curved = acquisition.apply_gamma(image, 1.3, image.amin(), image.amax())
    torch.testing.assert_close(curved[[0, -1]], image[[0, -1]])
    assert (curved[1:-1] < image[1:-1]).all() and (curved.diff() > 0).all()


@given(angles=some.lists(some.floats(-3.2, 3.2), min_size=3, max_size=3))
@many
def test_rotation_matrix_is_a_proper_rotation(angles):
    matrix = rotation_matrix(angles)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    np.testing.assert_allclose(rotation_tensor(angles).numpy(), matrix, atol=1e-6)


def test_noise_has_the_configured_deviation():
    canvas = Canvas((40, 40, 40), 1.0, Rng(1))
    flat = canvas.zeros() + 10.0
    for smooth, strength in ((0.0, 0.5), (1.0, 0.2)):
        noise = acquisition.RicianNoise(sd=0.0, floor=0.05, smooth=smooth)
        assert float(noise.apply(canvas, flat, 10.0).std()) == pytest.approx(strength, rel=0.12)


@given(seed=seeds)
@settings(max_examples=4, deadline=None, derandomize=True)
def test_study_without_any_transform_is_finite_and_has_no_edema(phantom_anatomy, without_transforms, seed):
    plain = GeneratorConfig.default()
    names = list(vars(plain.transforms))
    plain = without_transforms(plain, *names)
    generator = GliomaGenerator(phantom_anatomy, config=plain, spacing_mm=4.0, shape=(32, 36, 32))
    (study,) = generator.sample(seed, phenotype="glioblastoma")
    assert np.isfinite(study.images).all()
    assert (study.labels == 2).sum() == 0  # no edema, because its front is switched off


@pytest.mark.parametrize("target", ["white-matter-lesions", "stroke", "multiple-sclerosis"])
def test_other_lesion_is_labeled_as_the_target(phantom_anatomy, target):
    config = replace(GeneratorConfig.default(), target=target)
    generator = GliomaGenerator(phantom_anatomy, config=config, spacing_mm=4.0, shape=(32, 36, 32))
    found = []
    for seed in range(6):
        (study,) = generator.sample(seed)
        assert study.phenotype == target
        assert set(np.unique(study.labels)) <= {0, 2}
        found.append((study.labels > 0).sum())
    assert np.median(found) > 0


def test_stroke_stays_in_one_hemisphere(phantom_anatomy, without_transforms):
    config = replace(GeneratorConfig.default(), target="stroke")
    config = without_transforms(config, "affine", "elastic_deformation", "misregistration")
    wedge = replace(config.transforms.stroke, lacune=0.0, radius_mm=(40.0, 45.0))
    config = replace(config, transforms=replace(config.transforms, stroke=wedge))
    generator = GliomaGenerator(phantom_anatomy, config=config, spacing_mm=4.0, shape=(32, 36, 32))
    for seed in range(8):
        (study,) = generator.sample(seed)
        left, right = (int((half > 0).sum()) for half in np.split(study.labels, 2))
        assert max(left, right) > 0 and min(left, right) <= 0.1 * max(left, right)


def test_white_matter_lesions_as_target_are_in_nearly_every_study(phantom_anatomy):
    config = replace(GeneratorConfig.default(), target="white-matter-lesions")
    generator = GliomaGenerator(phantom_anatomy, config=config, spacing_mm=4.0, shape=(32, 36, 32))
    found = [(generator.sample(seed)[0].labels > 0).sum() for seed in range(12)]
    assert sum(count > 0 for count in found) >= 11


@pytest.mark.parametrize("name", list(vars(GeneratorConfig.default().transforms)))
def test_switching_a_transform_off_changes_the_images(phantom_anatomy, without_transforms, name):
    config = GeneratorConfig.default()
    always = replace(getattr(config.transforms, name), probability=1.0)
    config = replace(config, transforms=replace(config.transforms, **{name: always}))
    phenotype = "multifocal" if name == "satellites" else "hemorrhagic"
    on, off = (
        GliomaGenerator(phantom_anatomy, config=each, spacing_mm=4.0, shape=(32, 36, 32))
        for each in (config, without_transforms(config, name))
    )
    assert any(
        not np.array_equal(
            on.sample(seed, phenotype=phenotype)[0].images, off.sample(seed, phenotype=phenotype)[0].images
        )
        for seed in range(8)
    )


def test_acute_stroke_is_bright_on_dwi_and_dark_on_adc(phantom_anatomy, without_transforms):
    config = replace(GeneratorConfig.default(), target="stroke", modalities=("FLAIR", "DWI", "ADC", "SWI"))
    stroke = replace(config.transforms.stroke, acute=1.0, lacune=0.0)
    config = replace(config, transforms=replace(config.transforms, stroke=stroke))
    config = without_transforms(config, "tissue_contrast")
    generator = GliomaGenerator(phantom_anatomy, config=config, spacing_mm=4.0, shape=(32, 36, 32))
    for seed in range(3):
        (study,) = generator.sample(seed)
        assert study.modalities == ("FLAIR", "DWI", "ADC", "SWI")
        inside, rest = study.labels > 0, study.brain & (study.labels == 0)
        if inside.sum() > 20:
            diffusion, coefficient = study.images[1], study.images[2]
            assert np.median(diffusion[inside]) > 1.2 * np.median(diffusion[rest])
            assert np.median(coefficient[inside]) < 0.8 * np.median(coefficient[rest])


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [("affine", {"shift_sd_mm": (900.0, 900.0, 900.0)}, "no brain"), ("bias_field", {"sd": 1000.0}, "not finite")],
)
def test_configuration_that_gives_no_study_raises_an_input_error(phantom_anatomy, name, changes, expected):
    config = GeneratorConfig.default()
    transform = replace(getattr(config.transforms, name), **changes)
    config = replace(config, transforms=replace(config.transforms, **{name: transform}))
    for spacing_mm in (4.0, 1.5):
        generator = GliomaGenerator(phantom_anatomy, config=config, spacing_mm=spacing_mm, shape=(32, 36, 32))
        with pytest.raises(InputError, match=expected):
            generator.sample(1)
