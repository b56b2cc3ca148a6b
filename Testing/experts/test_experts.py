"""Expert maps and their agreement with regions: position, unchanged predictions, chance level."""

import json
from dataclasses import replace

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.experts.agreement import Agreement, agreement, suggest_names
from magpie_core.experts.expert_maps import ExpertMaps, expert_maps, match_experts, resolve_layers
from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.inference.prediction import RoutingCapture
from magpie_core.inference.segment import segment_study
from magpie_core.inference.sliding_window import PatchOptions
from magpie_core.models.model import load_model


def _captured(study, model, **options):
    capture = RoutingCapture()
    prediction = segment_study(study, model, device="cpu", precision="fp32", capture=capture, **options)
    return prediction, capture


def test_capture_leaves_the_prediction_bit_identical(make_study, tiny_model):
    model, study = load_model(tiny_model), make_study()
    plain = segment_study(study, model, device="cpu", precision="fp32")
    with_capture, capture = _captured(study, model)
    assert np.array_equal(plain.probabilities, with_capture.probabilities)
    (layer,) = capture.layers
    assert layer.shape[0] == 4 and capture.strides == (4,)
    np.testing.assert_allclose(layer.sum(axis=0), 1, atol=1e-5)


def test_capture_blends_patches_like_the_logits(make_study, tiny_model):
    model, study = load_model(tiny_model), make_study(shape=(48, 52, 40))
    _, whole = _captured(study, model)
    _, parts = _captured(study, model, patches=PatchOptions(size=(24, 24, 24)))
    assert whole.layers[0].shape == parts.layers[0].shape
    # Instance normalization has other statistics on a patch, so that the values differ slightly.
    assert np.abs(whole.layers[0] - parts.layers[0]).mean() < 0.1


def test_expert_maps_do_not_depend_on_the_storage_order(make_study, tiny_model):
    model, study = load_model(tiny_model), make_study()
    maps = expert_maps(_captured(study, model)[1])
    reordered = {}
    for modality, volume in study.volumes.items():
        data = np.transpose(volume.data, (2, 0, 1))[:, ::-1]
        affine = volume.affine[:, [2, 0, 1, 3]].copy()
        affine[:3, 3] += affine[:3, 1] * (data.shape[1] - 1)
        affine[:3, 1] *= -1
        reordered[modality] = Volume(np.ascontiguousarray(data), affine)
    other = expert_maps(_captured(Study(reordered, "reordered"), model)[1])
    back = np.transpose(other.values[:, :, ::-1], (0, 2, 3, 1))
    assert np.abs(back.astype(int) - maps.values).max() <= 1
    assert maps.token_mm == 4.0 and maps.geometry.shape == maps.values.shape[1:]


def test_expert_maps_are_zero_outside_the_brain_and_dominant_inside(make_study, tiny_model):
    study = make_study()
    maps = expert_maps(_captured(study, load_model(tiny_model))[1])
    outside = study.volumes[study.reference].data == 0
    assert not maps.values[:, outside].any()
    dominant = maps.dominant()
    assert set(np.unique(dominant)) <= set(range(5)) and (dominant[~outside] > 0).mean() > 0.95


def test_expert_maps_reject_a_model_without_experts_and_an_unknown_layer(make_study, tiny_model):
    with pytest.raises(InputError, match="none"):
        expert_maps(RoutingCapture())
    with pytest.raises(InputError, match="no layer '3'"):
        expert_maps(_captured(make_study(), load_model(tiny_model))[1], layer=3)


@pytest.mark.parametrize(("strides", "finest"), [((4,), 0), ((4, 8, 16), 0), ((4, 8, 16, 2), 3), ((4, 4, 8, 4, 8), 3)])
def test_resolve_layers_finds_the_finest_the_mean_and_named_ones(strides, finest):
    capture = RoutingCapture(strides=strides)
    assert resolve_layers(capture, "finest") == [finest]
    assert resolve_layers(capture, "mean") == list(range(len(strides)))
    assert resolve_layers(replace(capture, names=tuple("abcde"[: len(strides)])), "a") == [0]
    assert resolve_layers(capture, 0) == [0]


def test_match_experts_undoes_a_permutation():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 255, (4, 16, 16, 16)).astype(np.uint8)
    shuffled = maps[[2, 0, 3, 1]]
    assert (shuffled[match_experts(maps, shuffled)] == maps).all()


@pytest.fixture
def segmentation():
    """A ball of enhancing tumor in a shell of edema, off the center of a cube of brain."""
    i, j, k = np.meshgrid(*[np.arange(48)] * 3, indexing="ij")
    distance = np.sqrt((i - 16) ** 2 + (j - 20) ** 2 + (k - 18) ** 2)
    labels = np.where(distance < 6, 3, np.where(distance < 10, 2, 0)).astype(np.uint8)
    return Segmentation(labels, np.eye(4), label_schema("magpie"))


def _maps(segmentation, by_label):
    values = np.full((4, 48, 48, 48), 20, np.uint8)
    for expert, label in by_label.items():
        values[expert][segmentation.labels == label] = 200
    return ExpertMaps(values, Geometry((48, 48, 48), np.eye(4)), 2.0)


def test_agreement_finds_the_expert_of_a_region_above_chance_level(segmentation):
    rows = {(row.region, row.where): row for row in agreement(_maps(segmentation, {1: 3, 2: 2, 3: 0}), segmentation)}
    for region, expert in (("ET", 1), ("ED", 2), ("background", 3)):
        for where in ("brain", "box"):
            row = rows[region, where]
            assert row.expert == expert and row.iou == pytest.approx(1.0)
            assert row.iou_at_fixed_threshold == pytest.approx(1.0)
            assert (
                row.ious[expert] == row.iou == max(row.ious)
                and row.ious_at_fixed_threshold[expert] == row.iou_at_fixed_threshold
            )
            assert len(row.ious) == len(row.ious_at_fixed_threshold) == 4
    assert rows["ET", "box"].chance_level < 0.5 and rows["ET", "box"].mutual_information_bits > 0.05
    assert 0.6 < rows["ET", "box"].upper_bound < 1.0
    assert rows["ET", "box"].upper_bound < rows["background", "brain"].upper_bound


def test_suggest_names_names_experts_after_the_regions_they_fit(segmentation):
    assert suggest_names(agreement(_maps(segmentation, {1: 3, 2: 2}), segmentation)) == {1: "ET", 2: "ED"}
    assert "ET" not in suggest_names(agreement(_maps(segmentation, {2: 2}), segmentation)).values()


def test_suggest_names_prefers_the_largest_excess_over_chance_level():
    row = Agreement("TC", "box", 3, 0.5, 0.6, 0.5, 0.1, 0.9, 0.1, (), ())
    brain = replace(row, where="brain", region="background", iou=1.0)
    little, even = replace(row, expert=1, iou=0.39), replace(row, expert=2, chance_level=0.5)
    rows = [brain, row, replace(row, region="ET", iou=0.7), replace(row, region="ED", iou=0.5), little, even]
    assert suggest_names(rows) == {3: "ET"}


def test_agreement_of_noise_is_at_chance_level(segmentation):
    rng = np.random.default_rng(0)
    values = rng.integers(1, 200, (8, 48, 48, 48)).astype(np.uint8)
    maps = ExpertMaps(values, Geometry((48, 48, 48), np.eye(4)), 2.0)
    for row in agreement(maps, segmentation):
        if row.region in ("ET", "TC", "ED"):
            assert row.iou < row.chance_level + 0.05 and row.mutual_information_bits < 0.01
    assert not suggest_names(agreement(maps, segmentation))


def test_agreement_without_a_tumor_has_the_background_only(segmentation):
    empty = replace(segmentation, labels=np.zeros_like(segmentation.labels))
    rows = agreement(_maps(segmentation, {1: 3}), empty)
    assert {(row.region, row.where) for row in rows} == {("background", "brain")}


def test_agreement_as_dict_is_plain_and_numbers_experts_from_one(segmentation):
    rows = agreement(_maps(segmentation, {1: 3}), segmentation)
    plain = json.loads(json.dumps([row.as_dict() for row in rows]))
    assert plain and {"region", "where", "iou", "chance_level", "upper_bound", "ious"} <= set(plain[0])
    for row, values in zip(rows, plain, strict=True):
        assert values["expert"] == row.expert + 1 and values["ious"][row.expert] == row.iou
