"""Images that are not what they were given as are doubted; those given rightly are left in peace."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.models.model import load_model
from magpie_core.preprocessing.contrast_features import CoarseStudy
from magpie_core.preprocessing.intensities import scale_intensities
from magpie_core.preprocessing.modality_check import check_modalities, default_rules, pair_features
from magpie_core.preprocessing.model_grid import ModelGridStudy, resample_to_model_grid
from magpie_core.report.write import build_report
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.config import GeneratorConfig
from magpie_core.synthesis.generator import GliomaGenerator

T1, T1CE, T2, FLAIR = GLIOMA_MODALITIES
SEEDS = (8, 11)


class Subject:
    """Scaled images of one subject by modality, and the same T1 and T1CE once more under other conditions."""

    def __init__(self, images, brain, spacing_mm=2.0):
        self.brain, self.spacing_mm = brain, spacing_mm
        self.images = images

    def declare(self, **images):
        affine = np.diag([self.spacing_mm] * 3 + [1.0])
        modalities = tuple(Modality(name) for name in images)
        return ModelGridStudy(
            np.stack(list(images.values())), modalities, self.brain, affine, Geometry(self.brain.shape, affine)
        )

    def doubts(self, **images):
        """Return what each doubted image looks like, of a study of the declared images."""
        return {doubt.given: doubt.looks_like for doubt in check_modalities(self.declare(**images))}

    def changed(self, name, change):
        """Return an image after a change of its positive gray values."""
        image = self.images[name]
        positive = np.where(self.brain, image - image.min(), 0)
        return scale_intensities(change(positive / positive.max()).astype(np.float32), self.brain)


def _subject(seed):
    """A synthetic subject with an enhancing tumor; two protocols of T1 and of T1CE."""
    config = replace(GeneratorConfig.default(), modalities=("T1", "T1CE", "T2", "FLAIR", "T1", "T1CE"))
    contrast = replace(config.transforms.tissue_contrast, arbitrary=0.0)
    config = replace(config, transforms=replace(config.transforms, tissue_contrast=contrast))
    study = GliomaGenerator(Anatomy.find(None), config=config).sample(seed, phenotype="glioblastoma")[0]
    images = [scale_intensities(image, study.brain & (image > 0)) for image in study.images]
    return Subject(dict(zip(("T1", "T1CE", "T2", "FLAIR", "T1 again", "T1CE again"), images, strict=True)), study.brain)


@pytest.fixture(scope="module")
def subjects():
    return [_subject(seed) for seed in SEEDS]


def _noisy(image):
    return np.hypot(image + 0.02 * np.random.default_rng(0).standard_normal(image.shape), 0.02)


def _thick(image):
    return np.repeat(ndimage.uniform_filter1d(image, 3, axis=2)[..., 1::3], 3, axis=2)[..., : image.shape[2]]


def _padded(change):
    """Bring what came out shorter back to its size."""

    def padded(image):
        changed = change(image)
        return np.pad(changed, [(0, size - now) for size, now in zip(image.shape, changed.shape, strict=True)])

    return padded


REPEATS = {
    "noise": _noisy,
    "smoothing": lambda image: ndimage.gaussian_filter(image, 0.5),
    "thick slices": _padded(_thick),
    "other gray values": lambda image: image**1.3,
    "eight bits": lambda image: np.round(image * 255),
    "few gray values": lambda image: np.round(image * 60),
    "coil shading": lambda image: image * np.linspace(0.8, 1.2, image.shape[1])[:, None],
    "half a voxel apart": lambda image: ndimage.shift(image, (0.25, -0.25, 0.2), order=1),
}


def test_studies_declared_rightly_are_not_doubted(subjects):
    for subject in subjects:
        images = {name: subject.images[name] for name in ("T1", "T1CE", "T2", "FLAIR")}
        assert subject.doubts(**images) == {}
        assert subject.doubts(T1=images["T1"], T1CE=images["T1CE"]) == {}
        assert subject.doubts(T1=images["T1"], T2=images["T2"], FLAIR=images["FLAIR"]) == {}


@pytest.mark.parametrize("change", REPEATS)
def test_a_t1_given_again_as_t1ce_is_doubted(subjects, change):
    for subject in subjects:
        images = {name: subject.images[name] for name in ("T1", "T2", "FLAIR")}
        native = subject.changed("T1", REPEATS[change])
        assert T1CE in subject.doubts(**images, T1CE=native)
        assert T1CE in subject.doubts(T1=images["T1"], T1CE=native)


@pytest.mark.parametrize("change", REPEATS)
def test_a_t1ce_acquired_otherwise_is_not_doubted(subjects, change):
    for subject in subjects:
        assert subject.doubts(T1=subject.images["T1"], T1CE=subject.changed("T1CE", REPEATS[change])) == {}


def test_a_second_native_t1_of_another_protocol_is_doubted(subjects):
    subject = subjects[0]  # a protocol may differ so much that it passes for enhancement: one in six does
    doubts = check_modalities(subject.declare(T1=subject.images["T1"], T1CE=subject.images["T1 again"]))
    assert {doubt.given for doubt in doubts} & {T1, T1CE} and all(doubt.score > 0 for doubt in doubts)


def test_the_evidence_is_a_question_about_enhancement(subjects):
    subject = subjects[0]
    native = subject.changed("T1", _noisy)
    (doubt,) = check_modalities(subject.declare(T1=subject.images["T1"], T1CE=native))
    assert "no enhancement of vessels" in doubt.evidence and doubt.evidence.endswith("before contrast?")
    assert doubt.as_dict() == {
        "given": "T1CE",
        "looks_like": "T1",
        "evidence": doubt.evidence,
        "score": round(doubt.score, 2),
        "exchanged": False,
    }


def test_a_native_t1_without_a_t1_beside_it_is_doubted_or_not_judged(subjects):
    for subject in subjects:
        for others in ({}, {name: subject.images[name] for name in ("T2", "FLAIR")}):
            assert T1CE in subject.doubts(T1CE=subject.images["T1"], **others)


def test_t1_and_t1ce_exchanged_are_doubted(subjects):
    for subject in subjects:
        doubts = check_modalities(subject.declare(T1=subject.images["T1CE"], T1CE=subject.images["T1"]))
        assert {doubt.given for doubt in doubts} & {T1, T1CE}


def test_a_t1ce_given_as_t1_beside_another_is_doubted(subjects):
    for subject in subjects:
        assert subject.doubts(T1=subject.changed("T1CE", _noisy), T1CE=subject.images["T1CE"])


@pytest.mark.parametrize("wrong", ["T2", "FLAIR"])
def test_another_contrast_given_as_t1ce_is_doubted(subjects, wrong):
    for subject in subjects:
        assert T1CE in subject.doubts(T1CE=subject.images[wrong])
        again = subject.changed(wrong, _noisy)
        beside = {"T1": subject.images["T1"], wrong: subject.images[wrong]}
        assert subject.doubts(T1CE=again, **beside)[T1CE] is Modality(wrong)


def test_every_exchange_of_two_is_noticed_and_named(subjects):
    for subject in subjects:
        right = {name: subject.images[name] for name in ("T1", "T1CE", "T2", "FLAIR")}
        for one, other in (("T1", "T2"), ("T1", "FLAIR"), ("T1CE", "T2"), ("T1CE", "FLAIR"), ("T2", "FLAIR")):
            doubts = check_modalities(subject.declare(**(right | {one: right[other], other: right[one]})))
            assert all(doubt.exchanged and "nothing was changed" in doubt.evidence for doubt in doubts)
            likely = {doubt.given: doubt.looks_like for doubt in doubts}
            assert likely == {Modality(one): Modality(other), Modality(other): Modality(one)}


def _phantom(modalities, size=50):
    random = np.random.default_rng(0)
    images = random.standard_normal((len(modalities), size, size, size)).astype(np.float32)
    brain = np.ones((size,) * 3, bool)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return ModelGridStudy(images, tuple(modalities), brain, affine, Geometry((size,) * 3, affine))


def test_a_small_image_and_other_modalities_are_not_judged():
    assert check_modalities(_phantom([Modality.T1, Modality.T2], size=10)) == ()
    assert check_modalities(_phantom([Modality.DWI, Modality.ADC])) == ()


def test_an_image_that_covers_another_part_is_not_compared():
    study = _phantom([T1, T1CE])
    study.images[0, :25], study.images[1, 25:] = 0, 0
    coarse = CoarseStudy.of(study)
    assert coarse.enhancement((T1,), T1CE) is None
    assert np.isfinite(coarse.look(T1)).all()


def test_the_rules_are_complete_and_exchanging_images_turns_their_sign():
    rules = default_rules()
    study = _phantom(GLIOMA_MODALITIES)
    coarse = CoarseStudy.of(study)
    looks = {modality: coarse.look(modality) for modality in coarse.images}
    features = pair_features(coarse, looks)
    assert len(rules.pairs) == 6 and all(len(rules.pairs[pair]) == len(values) for pair, values in features.items())
    assert set(rules.looks) == set(looks) and len(rules.looks[T1]) == len(looks[T1]) + 1
    for plain, weights in rules.enhancement.items():
        assert len(weights) == len(coarse.enhancement(plain, T1CE)) + 1
    exchanged = CoarseStudy.of(replace(study, images=study.images[[1, 0, 2, 3]]))
    back = pair_features(exchanged, {modality: exchanged.look(modality) for modality in exchanged.images})
    np.testing.assert_allclose(back[T1, T1CE], -features[T1, T1CE], atol=1e-4)


def test_scaling_an_image_changes_no_feature():
    study = _phantom([T1, T1CE])
    other = replace(study, images=study.images * np.float32([2, 3])[:, None, None, None])
    one, two = CoarseStudy.of(study), CoarseStudy.of(other)
    np.testing.assert_allclose(one.look(T1CE), two.look(T1CE), atol=1e-3)
    np.testing.assert_allclose(one.enhancement((T1,), T1CE), two.enhancement((T1,), T1CE), atol=1e-2)


def test_a_segmentation_with_a_t1_given_as_t1ce_is_never_unmarked(subjects, tiny_model):
    subject = subjects[0]
    native = subject.changed("T1", _noisy)
    images = {T1: subject.images["T1"], T1CE: native, T2: subject.images["T2"], FLAIR: subject.images["FLAIR"]}
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    volumes = {key: Volume(np.where(subject.brain, image + 6, 0), affine) for key, image in images.items()}
    for left_out in ((), (T1,), (T1, T2), (T1, T2, FLAIR)):
        study = Study({key: volume for key, volume in volumes.items() if key not in left_out}, "phantom")
        prediction = segment_study(study, load_model(tiny_model), device="cpu")
        report = build_report(study, prediction)
        assert [doubt["given"] for doubt in report["doubts"]] == ["T1CE"], left_out
        assert report["doubts"][0]["evidence"] in report["warnings"]
        assert report["suspected_swap"] == {}


@pytest.fixture(scope="module")
def real_subjects(cases_folder):
    """Two real cases."""
    found = []
    for name in ("Brats18_CBICA_ABM_1", "BraTS2021_01476"):
        grid = resample_to_model_grid(read_study(cases_folder / "train" / name))
        images = {modality.value: image for modality, image in zip(grid.modalities, grid.images, strict=True)}
        found.append(Subject(images, grid.brain, grid.spacing_mm))
    return found


def test_real_studies_are_judged_like_synthetic_ones(real_subjects):
    for subject in real_subjects:
        right = subject.images
        assert subject.doubts(**right) == {}
        native = subject.changed("T1", _noisy)
        assert subject.doubts(**(right | {"T1CE": native})) == {T1CE: T1}
        assert T1CE in subject.doubts(T2=right["T2"], FLAIR=right["FLAIR"], T1CE=native)
        assert subject.doubts(**(right | {"T1CE": right["T2"], "T2": right["T1CE"]})) == {T1CE: T2, T2: T1CE}
