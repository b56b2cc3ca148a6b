"""How unsure a prediction is, where it matters."""

from dataclasses import replace

import numpy as np
import pytest

from magpie_core.inference.routing_capture import RoutingCapture
from magpie_core.inference.segment import segment_study
from magpie_core.inference.uncertainty import expert_disagreement, tumour_uncertainty
from magpie_core.models.model import load_model


@pytest.fixture
def prediction(make_study, tiny_model):
    return segment_study(make_study(), load_model(tiny_model))


def _with(prediction, tumour, probability):
    labels = tumour.astype(np.uint8)
    segmentation = replace(prediction.segmentation, labels=labels)
    spread = np.broadcast_to(probability, (3, *labels.shape)).astype(np.float16)
    return replace(prediction, segmentation=segmentation, probabilities=spread)


def test_sure_probabilities_have_none_and_even_ones_have_all(prediction):
    tumour = np.zeros(prediction.segmentation.labels.shape, bool)
    tumour[10:16, 10:16, 10:16] = True
    assert tumour_uncertainty(_with(prediction, tumour, np.float16(0.5))) == pytest.approx(1.0, abs=1e-3)
    assert tumour_uncertainty(_with(prediction, tumour, np.float16(1.0))) < 0.01


def test_doubt_far_from_the_tumour_does_not_count_and_doubt_at_its_edge_does(prediction):
    shape = prediction.segmentation.labels.shape
    tumour = np.zeros(shape, bool)
    tumour[10:14, 10:14, 10:14] = True
    far, edge = np.zeros(shape), np.zeros(shape)
    far[20:, 20:, 18:] = 0.5
    edge[14:16, 10:14, 10:14] = 0.5
    assert tumour_uncertainty(_with(prediction, tumour, far)) < 0.01
    assert tumour_uncertainty(_with(prediction, tumour, edge)) > 0.05


def test_without_a_tumour_the_least_sure_part_counts(prediction):
    shape = prediction.segmentation.labels.shape
    doubt = np.zeros(shape)
    doubt[5:15, 5:15, 5:15] = 0.5
    assert tumour_uncertainty(_with(prediction, np.zeros(shape, bool), doubt)) == pytest.approx(1.0, abs=0.01)


def test_experts_that_disagree_in_the_tumour_make_it_less_sure(make_study, tiny_model):
    capture = RoutingCapture()
    seen = segment_study(make_study(), load_model(tiny_model), capture=capture)
    tumour = np.zeros(seen.segmentation.labels.shape, bool)
    tumour[10:16, 10:16, 10:16] = True
    sure = _with(seen, tumour, np.float16(1.0))
    layer = capture.layers[0]
    capture.layers = [np.full_like(layer, 0.25)]
    assert expert_disagreement(capture, tumour) == pytest.approx(1.0, abs=1e-3)
    torn = tumour_uncertainty(sure, capture)
    decided = np.zeros_like(layer)
    decided[2] = 1.0
    capture.layers = [decided]
    assert expert_disagreement(capture, tumour) == pytest.approx(0.0, abs=1e-3)
    assert tumour_uncertainty(sure, capture) < torn
