"""tumor_uncertainty and expert_disagreement."""

from dataclasses import replace

import numpy as np
import pytest

from magpie_core.inference.prediction import RoutingCapture
from magpie_core.inference.segment import segment_study
from magpie_core.inference.uncertainty import expert_disagreement, tumor_uncertainty
from magpie_core.models.model import load_model


@pytest.fixture
def prediction(make_study, tiny_model):
    return segment_study(make_study(), load_model(tiny_model))


def _with(prediction, tumor, probability):
    labels = tumor.astype(np.uint8)
    segmentation = replace(prediction.segmentation, labels=labels)
    spread = np.broadcast_to(probability, (3, *labels.shape)).astype(np.float16)
    return replace(prediction, segmentation=segmentation, probabilities=spread)


def test_tumor_uncertainty_is_0_for_certain_and_1_for_even_probabilities(prediction):
    tumor = np.zeros(prediction.segmentation.labels.shape, bool)
    tumor[10:16, 10:16, 10:16] = True
    assert tumor_uncertainty(_with(prediction, tumor, np.float16(0.5))) == pytest.approx(1.0, abs=1e-3)
    assert tumor_uncertainty(_with(prediction, tumor, np.float16(1.0))) < 0.01


def test_tumor_uncertainty_includes_the_edge_but_not_the_rest_of_the_brain(prediction):
    shape = prediction.segmentation.labels.shape
    tumor = np.zeros(shape, bool)
    tumor[10:14, 10:14, 10:14] = True
    far, edge = np.zeros(shape), np.zeros(shape)
    far[20:, 20:, 18:] = 0.5
    edge[14:16, 10:14, 10:14] = 0.5
    assert tumor_uncertainty(_with(prediction, tumor, far)) < 0.01
    assert tumor_uncertainty(_with(prediction, tumor, edge)) > 0.05


def test_tumor_uncertainty_without_a_tumor_is_that_of_the_most_uncertain_part(prediction):
    shape = prediction.segmentation.labels.shape
    uncertain = np.zeros(shape)
    uncertain[5:15, 5:15, 5:15] = 0.5
    assert tumor_uncertainty(_with(prediction, np.zeros(shape, bool), uncertain)) == pytest.approx(1.0, abs=0.01)


def test_expert_disagreement_raises_the_tumor_uncertainty(make_study, tiny_model):
    capture = RoutingCapture()
    seen = segment_study(make_study(), load_model(tiny_model), capture=capture)
    tumor = np.zeros(seen.segmentation.labels.shape, bool)
    tumor[10:16, 10:16, 10:16] = True
    sure = _with(seen, tumor, np.float16(1.0))
    layer = capture.layers[0]
    capture.layers = [np.full_like(layer, 0.25)]
    assert expert_disagreement(capture, tumor) == pytest.approx(1.0, abs=1e-3)
    torn = tumor_uncertainty(sure, capture)
    decided = np.zeros_like(layer)
    decided[2] = 1.0
    capture.layers = [decided]
    assert expert_disagreement(capture, tumor) == pytest.approx(0.0, abs=1e-3)
    assert tumor_uncertainty(sure, capture) < torn
