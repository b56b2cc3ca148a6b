"""segment_study: grid of the result, subsets of modalities, patches, precision, progress."""

from itertools import combinations

import numpy as np
import pytest
import torch

from magpie_core.errors import Cancelled, InputError, ResourceError
from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.imaging.study import Study
from magpie_core.imaging.study_checks import check_study
from magpie_core.imaging.volume import Volume
from magpie_core.inference.segment import segment_study
from magpie_core.inference.sliding_window import PatchOptions
from magpie_core.models.model import load_model
from magpie_core.networks.device import choose_device


@pytest.fixture(scope="module")
def model(tiny_model):
    return load_model(tiny_model)


@pytest.fixture
def study():
    random = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (36, 44, 30)], indexing="ij"))
    brain = (grid**2).sum(0) < 0.8
    lump = ((grid - np.array([0.3, 0.2, 0.1]).reshape(3, 1, 1, 1)) ** 2).sum(0) < 0.1
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (-18, -20, -12)
    volumes = {
        name: Volume(
            ((100 + 20 * random.standard_normal(brain.shape) + 80 * k * lump) * brain).astype(np.float32), affine
        )
        for k, name in enumerate(GLIOMA_MODALITIES, 1)
    }
    return Study(volumes, "phantom")


def test_segment_study_returns_the_grid_of_the_reference(study, model):
    prediction = segment_study(study, model, device="cpu", precision="fp32")
    reference = study.volumes[Modality.T1CE]
    assert prediction.reference is Modality.T1CE
    assert prediction.segmentation.geometry.matches(reference.geometry)
    assert prediction.segmentation.schema.name == "magpie"
    assert prediction.probabilities.shape == (3, *reference.shape)
    assert prediction.segmentation.labels.any()
    assert not prediction.segmentation.labels[reference.data == 0].all()
    assert prediction.modalities_missing == ()
    assert prediction.model_hash == model.hash


@pytest.mark.parametrize(
    "kept", [c for n in (1, 2, 3) for c in combinations(GLIOMA_MODALITIES, n)], ids=lambda c: "+".join(c)
)
def test_segment_study_takes_any_subset_of_the_modalities(study, model, kept):
    part = Study({name: study.volumes[name] for name in kept}, "part")
    prediction = segment_study(part, model, device="cpu")
    assert set(prediction.modalities_used) == set(kept)
    assert set(prediction.modalities_missing) == set(GLIOMA_MODALITIES) - set(kept)
    assert np.isfinite(prediction.probabilities).all()
    assert prediction.segmentation.geometry.matches(part.volumes[part.reference].geometry)


def test_segment_study_labels_no_enhancing_tumor_without_t1ce(study, model):
    assert (segment_study(study, model, device="cpu").segmentation.labels == 3).any()
    part = Study({name: study.volumes[name] for name in GLIOMA_MODALITIES if name is not Modality.T1CE}, "part")
    part = Study(part.volumes, "part", warnings=check_study(part))
    prediction = segment_study(part, model, device="cpu")
    assert not (prediction.segmentation.labels == 3).any()
    assert any("T1ce" in warning for warning in prediction.warnings)


def test_segment_study_rejects_a_study_without_a_usable_modality(study, model):
    other = Study({Modality.CT: study.volumes[Modality.T1]}, "head CT")
    with pytest.raises(InputError, match="CT"):
        segment_study(other, model, device="cpu")


def test_patches_give_nearly_the_probabilities_of_one_forward_pass(study, model):
    whole = segment_study(study, model, device="cpu", precision="fp32")
    tiles = segment_study(
        study, model, device="cpu", precision="fp32", patches=PatchOptions(size=(24, 24, 24), overlap=0.5)
    )
    difference = np.abs(whole.probabilities.astype(float) - tiles.probabilities)
    assert np.median(difference) < 0.1


def test_progress_rises_to_one_and_can_cancel(study, model):
    seen = []
    segment_study(study, model, device="cpu", progress=lambda fraction, stage: seen.append((fraction, stage)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert all(stage for _, stage in seen)

    def stop(fraction, stage):
        if fraction > 0.2:
            raise Cancelled("Stopped")

    with pytest.raises(Cancelled):
        segment_study(study, model, device="cpu", progress=stop)


def test_bf16_and_fp32_agree_on_nearly_all_voxels(study, model):
    exact = segment_study(study, model, device="cpu", precision="fp32").segmentation.labels
    fast = segment_study(study, model, device="cpu", precision="bf16").segmentation.labels
    assert (exact == fast).mean() > 0.98


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_cuda_gives_the_segmentation_of_the_cpu(study, model, cuda_device, precision):
    here = segment_study(study, model, device="cpu", precision="fp32")
    there = segment_study(study, model, device=cuda_device, precision=precision)
    assert (here.segmentation.labels == there.segmentation.labels).mean() > (0.999 if precision == "fp32" else 0.98)


def test_choose_device_rejects_an_unavailable_device_with_a_remedy():
    if torch.cuda.is_available():
        pytest.skip("this computer has a CUDA device")
    with pytest.raises(ResourceError, match="Use the CPU"):
        choose_device("cuda")
    with pytest.raises(ResourceError, match="auto"):
        choose_device("abacus")


def test_segment_study_says_what_a_single_image_cannot_tell(study, model):
    alone = Study({Modality.FLAIR: study.volumes[Modality.FLAIR]}, "alone")
    prediction = segment_study(alone, model, device="cpu")
    assert prediction.segmentation.labels.any()
    assert any("FLAIR alone" in text and "such as a T2" in text for text in prediction.warnings)
    middle = study.volumes[Modality.FLAIR].shape[0] // 2
    sides = (
        np.count_nonzero(prediction.segmentation.labels[:middle]),
        np.count_nonzero(prediction.segmentation.labels[middle:]),
    )
    both = min(sides) > 0.25 * sum(sides)
    assert any("both hemispheres" in text for text in prediction.warnings) or not both
    assert not any("cannot be judged without other" in text for text in segment_study(study, model).warnings)
