"""Maps of what experts saw: right place, no change to the result, honest agreement."""

import json
from dataclasses import replace

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.experts.agreement import Agreement, agreement
from magpie_core.experts.expert_maps import ExpertMaps, expert_maps, layers_meant, match_experts
from magpie_core.experts.expert_names import suggest_names
from magpie_core.imaging.geometry import Geometry
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.inference.routing_capture import RoutingCapture
from magpie_core.inference.segment import segment_study
from magpie_core.inference.sliding_window import PatchOptions
from magpie_core.models.model import load_model


def _captured(study, model, **options):
    capture = RoutingCapture()
    prediction = segment_study(study, model, device="cpu", precision="fp32", capture=capture, **options)
    return prediction, capture


def test_capture_does_not_change_a_bit_of_the_prediction(make_study, tiny_model):
    model, study = load_model(tiny_model), make_study()
    plain = segment_study(study, model, device="cpu", precision="fp32")
    seen, capture = _captured(study, model)
    assert np.array_equal(plain.probabilities, seen.probabilities)
    (layer,) = capture.layers
    assert layer.shape[0] == 4 and capture.strides == (4,)
    np.testing.assert_allclose(layer.sum(axis=0), 1, atol=1e-5)


def test_windows_are_blended_like_the_logits(make_study, tiny_model):
    model, study = load_model(tiny_model), make_study(shape=(48, 52, 40))
    _, whole = _captured(study, model)
    _, parts = _captured(study, model, windows=PatchOptions(window=(24, 24, 24)))
    assert whole.layers[0].shape == parts.layers[0].shape
    # The instance normalization sees another window, so that the values differ a little.
    assert np.abs(whole.layers[0] - parts.layers[0]).mean() < 0.1


def test_maps_lie_where_the_study_lies_however_it_is_stored(make_study, tiny_model):
    model, study = load_model(tiny_model), make_study()
    maps = expert_maps(_captured(study, model)[1])
    turned = {}
    for modality, volume in study.volumes.items():
        data = np.transpose(volume.data, (2, 0, 1))[:, ::-1]
        affine = volume.affine[:, [2, 0, 1, 3]].copy()
        affine[:3, 3] += affine[:3, 1] * (data.shape[1] - 1)
        affine[:3, 1] *= -1
        turned[modality] = Volume(np.ascontiguousarray(data), affine)
    other = expert_maps(_captured(Study(turned, "turned"), model)[1])
    back = np.transpose(other.values[:, :, ::-1], (0, 2, 3, 1))
    assert np.abs(back.astype(int) - maps.values).max() <= 1
    assert maps.token_mm == 4.0 and maps.geometry.shape == maps.values.shape[1:]


def test_outside_the_brain_no_expert_was_asked_and_inside_one_dominates(make_study, tiny_model):
    study = make_study()
    maps = expert_maps(_captured(study, load_model(tiny_model))[1])
    outside = study.volumes[study.reference].data == 0
    assert not maps.values[:, outside].any()
    dominant = maps.dominant()
    assert set(np.unique(dominant)) <= set(range(5)) and (dominant[~outside] > 0).mean() > 0.95


def test_a_model_without_experts_is_refused_and_so_is_a_layer_that_is_not_there(make_study, tiny_model):
    with pytest.raises(InputError, match="none"):
        expert_maps(RoutingCapture())
    with pytest.raises(InputError, match="no part '3'"):
        expert_maps(_captured(make_study(), load_model(tiny_model))[1], layer=3)


@pytest.mark.parametrize(
    ("strides", "finest"), [((4,), 0), ((4, 8, 16), 0), ((4, 8, 16, 2), 3), ((4, 4, 8, 4, 8), 3)]
)
def test_the_finest_layer_is_shown_unless_another_is_asked_for(strides, finest):
    capture = RoutingCapture(strides=strides)
    assert layers_meant(capture, "finest") == [finest]
    assert layers_meant(capture, "mean") == list(range(len(strides)))
    assert layers_meant(replace(capture, names=tuple("abcde"[: len(strides)])), "a") == [0]
    assert layers_meant(capture, 0) == [0]


def test_experts_of_another_layer_are_matched_by_their_maps():
    random = np.random.default_rng(0)
    maps = random.integers(0, 255, (4, 16, 16, 16)).astype(np.uint8)
    shuffled = maps[[2, 0, 3, 1]]
    assert (shuffled[match_experts(maps, shuffled)] == maps).all()


@pytest.fixture
def truth():
    """A ball of enhancing tumor in a shell of edema, off the middle of a cube of brain."""
    i, j, k = np.meshgrid(*[np.arange(48)] * 3, indexing="ij")
    distance = np.sqrt((i - 16) ** 2 + (j - 20) ** 2 + (k - 18) ** 2)
    labels = np.where(distance < 6, 3, np.where(distance < 10, 2, 0)).astype(np.uint8)
    return Segmentation(labels, np.eye(4), label_schema("magpie"))


def _maps(truth, by_label):
    values = np.full((4, 48, 48, 48), 20, np.uint8)
    for expert, label in by_label.items():
        values[expert][truth.labels == label] = 200
    return ExpertMaps(values, Geometry((48, 48, 48), np.eye(4)), 2.0)


def test_an_expert_that_is_a_region_is_found_and_stands_out_of_its_control(truth):
    rows = {(row.region, row.where): row for row in agreement(_maps(truth, {1: 3, 2: 2, 3: 0}), truth)}
    for region, expert in (("ET", 1), ("ED", 2), ("background", 3)):
        for where in ("brain", "box"):
            row = rows[region, where]
            assert row.expert == expert and row.iou == pytest.approx(1.0)
            assert row.iou_stated == pytest.approx(1.0)
            assert row.ious[expert] == row.iou == max(row.ious) and row.ious_stated[expert] == row.iou_stated
            assert len(row.ious) == len(row.ious_stated) == 4
    assert rows["ET", "box"].control < 0.5 and rows["ET", "box"].information > 0.05
    assert 0.6 < rows["ET", "box"].ceiling < 1.0
    assert rows["ET", "box"].ceiling < rows["background", "brain"].ceiling


def test_an_expert_is_named_after_the_region_that_it_fits_and_no_other_is(truth):
    assert suggest_names(agreement(_maps(truth, {1: 3, 2: 2}), truth)) == {1: "ET", 2: "ED"}
    assert "ET" not in suggest_names(agreement(_maps(truth, {2: 2}), truth)).values()


def test_of_several_regions_an_expert_has_the_name_of_the_surest():
    row = Agreement("TC", "box", 3, 0.5, 0.6, 0.5, 0.1, 0.9, 0.1, (), ())
    brain = replace(row, where="brain", region="background", iou=1.0)
    little, even = replace(row, expert=1, iou=0.39), replace(row, expert=2, control=0.5)
    rows = [brain, row, replace(row, region="ET", iou=0.7), replace(row, region="ED", iou=0.5), little, even]
    assert suggest_names(rows) == {3: "ET"}


def test_noise_is_no_better_than_its_control(truth):
    random = np.random.default_rng(0)
    values = random.integers(1, 200, (8, 48, 48, 48)).astype(np.uint8)
    maps = ExpertMaps(values, Geometry((48, 48, 48), np.eye(4)), 2.0)
    for row in agreement(maps, truth):
        if row.region in ("ET", "TC", "ED"):
            assert row.iou < row.control + 0.05 and row.information < 0.01
    assert not suggest_names(agreement(maps, truth))


def test_a_threshold_that_was_chosen_elsewhere_is_kept_to(truth):
    rows = agreement(_maps(truth, {1: 3}), truth, thresholds=(0.4,))
    assert {row.threshold for row in rows} == {0.4}


def test_without_a_tumor_only_the_background_is_compared(truth):
    empty = replace(truth, labels=np.zeros_like(truth.labels))
    rows = agreement(_maps(truth, {1: 3}), empty)
    assert {(row.region, row.where) for row in rows} == {("background", "brain")}


def test_plain_values_survive_json_and_count_experts_from_one(truth):
    rows = agreement(_maps(truth, {1: 3}), truth)
    plain = json.loads(json.dumps([row.as_dict() for row in rows]))
    assert plain and {"region", "where", "iou", "control", "ceiling", "ious"} <= set(plain[0])
    for row, values in zip(rows, plain, strict=True):
        assert values["expert"] == row.expert + 1 and values["ious"][row.expert] == row.iou


def test_two_models_experts_are_matched_and_compared():
    from magpie_core.experts.stability import stability

    random = np.random.default_rng(0)
    values = random.integers(1, 255, (4, 16, 16, 16)).astype(np.uint8)
    geometry = Geometry((16, 16, 16), np.eye(4))
    one = ExpertMaps(values, geometry, 4.0)
    shuffled = ExpertMaps(values[[2, 0, 3, 1]], geometry, 4.0)
    found = stability(one, shuffled)
    assert [[2, 0, 3, 1][partner] for partner in found.partners] == [0, 1, 2, 3]
    assert min(found.correlations) > 0.99 and abs(found.by_chance) < 0.1 and found.same_dominant == 1.0
    stranger = ExpertMaps(random.integers(1, 255, values.shape).astype(np.uint8), geometry, 4.0)
    assert max(stability(one, stranger).correlations) < 0.2
    with pytest.raises(InputError, match="cannot be compared"):
        stability(one, ExpertMaps(values[:3], geometry, 4.0))
