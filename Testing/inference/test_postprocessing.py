"""regions_to_labels: nesting, and rules for small volumes."""

import numpy as np
import pytest

from magpie_core.inference.postprocessing import regions_to_labels
from magpie_core.models.description import Postprocessing


@pytest.fixture
def probabilities():
    fields = np.zeros((3, 12, 12, 12), np.float32)
    fields[2, 2:10, 2:10, 2:10] = 0.9
    fields[1, 4:8, 4:8, 4:8] = 0.9
    fields[0, 4:6, 4:6, 4:6] = 0.9
    return fields


def test_regions_to_labels_gives_one_label_per_voxel(probabilities):
    labels = regions_to_labels(probabilities, Postprocessing(), voxel_volume_ml=0.001)
    assert np.bincount(labels.ravel(), minlength=4).tolist() == [12**3 - 512, 64 - 8, 512 - 64, 8]


def test_regions_to_labels_nests_an_inner_region_outside_the_others(probabilities):
    probabilities[0, 11, 11, 11] = 0.9
    labels = regions_to_labels(probabilities, Postprocessing(), voxel_volume_ml=0.001)
    assert labels[11, 11, 11] == 3


def test_enhancing_tumor_below_the_minimum_volume_is_core(probabilities):
    rules = Postprocessing(minimum_volume_ml=(0.009, 0, 0))
    labels = regions_to_labels(probabilities, rules, voxel_volume_ml=0.001)
    assert (labels == 3).sum() == 0 and (labels == 1).sum() == 64
    kept = regions_to_labels(probabilities, rules, voxel_volume_ml=0.002)
    assert (kept == 3).sum() == 8


def test_components_below_the_minimum_volume_are_removed(probabilities):
    probabilities[2, 0, 0, 0] = 0.9
    rules = Postprocessing(minimum_component_ml=0.01)
    labels = regions_to_labels(probabilities, rules, voxel_volume_ml=0.001)
    assert labels[0, 0, 0] == 0 and (labels > 0).sum() == 512


def test_regions_to_labels_of_zero_probabilities_is_empty():
    labels = regions_to_labels(np.zeros((3, 4, 4, 4)), Postprocessing(), voxel_volume_ml=1)
    assert labels.dtype == np.uint8 and not labels.any()
