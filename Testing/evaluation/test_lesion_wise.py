"""lesion_wise: the BraTS 2023 rule on constructed lesions."""

import numpy as np
import pytest

from magpie_core.evaluation.lesion_wise import lesion_wise, satellite_recall
from magpie_core.evaluation.region_metrics import WORST_HD95_MM

SPACING = (1.0, 1.0, 1.0)


def _with(*boxes, shape=(60, 40, 40)):
    mask = np.zeros(shape, bool)
    for corner, size in boxes:
        mask[tuple(slice(c, c + s) for c, s in zip(corner, (size,) * 3, strict=True))] = True
    return mask


BIG, SMALL, TINY = ((5, 5, 5), 10), ((30, 5, 5), 5), ((45, 30, 30), 3)


def test_perfect_prediction_scores_one():
    reference = _with(BIG, SMALL)
    scores = lesion_wise(reference, reference, SPACING)
    assert scores.dice == 1 and scores.hd95_mm == 0
    assert [lesion.volume_mm3 for lesion in scores.lesions] == [1000, 125]


def test_missed_lesion_has_the_weight_of_a_large_one():
    scores = lesion_wise(_with(BIG), _with(BIG, SMALL), SPACING)
    assert scores.dice == pytest.approx(0.5)
    assert scores.hd95_mm == pytest.approx(WORST_HD95_MM / 2)
    assert [lesion.found for lesion in scores.lesions] == [True, False]


def test_false_positive_scores_zero():
    scores = lesion_wise(_with(BIG, SMALL), _with(BIG), SPACING)
    assert scores.dice == pytest.approx(0.5) and scores.false_positives_mm3 == (125,)


def test_lesions_of_fifty_cubic_millimeters_or_less_are_not_scored():
    scores = lesion_wise(_with(BIG), _with(BIG, TINY), SPACING)
    assert scores.dice == 1 and len(scores.lesions) == 2 and len(scores.scored) == 1
    # The limit is in millimeters, not in voxels.
    assert lesion_wise(_with(BIG), _with(BIG, TINY), (1.0, 1.0, 2.0)).dice == pytest.approx(0.5)


def test_reference_components_that_merge_when_dilated_are_one_lesion():
    near = _with(((5, 5, 5), 6), ((15, 5, 5), 6))
    far = _with(((5, 5, 5), 6), ((20, 5, 5), 6))
    assert len(lesion_wise(near, near, SPACING).lesions) == 1
    assert len(lesion_wise(far, far, SPACING).lesions) == 2


def test_component_that_touches_the_dilated_lesion_matches_it():
    reference = _with(((5, 5, 5), 6))
    beside = _with(((5, 5, 5), 6), ((13, 5, 5), 3))
    scores = lesion_wise(beside, reference, SPACING)
    assert scores.false_positives_mm3 == ()
    assert scores.dice == pytest.approx(2 * 216 / (216 + 216 + 27))
    apart = _with(((5, 5, 5), 6), ((15, 5, 5), 3))
    assert lesion_wise(apart, reference, SPACING).false_positives_mm3 == (27,)


def test_lesion_wise_of_empty_masks_follows_the_brats_rule():
    nothing = _with()
    assert lesion_wise(nothing, nothing, SPACING).dice == 1
    assert lesion_wise(nothing, nothing, SPACING).hd95_mm == 0
    assert lesion_wise(_with(BIG), nothing, SPACING).dice == 0
    assert lesion_wise(nothing, _with(BIG), SPACING).hd95_mm == WORST_HD95_MM


def test_satellite_recall_excludes_the_largest_lesion():
    reference = _with(BIG, SMALL, TINY)
    found = lesion_wise(_with(BIG, SMALL), reference, SPACING)
    table = satellite_recall([found, lesion_wise(_with(BIG), _with(BIG), SPACING)])
    assert [(hit, total) for _, _, hit, total in table] == [(0, 1), (1, 1), (0, 0), (0, 0)]
