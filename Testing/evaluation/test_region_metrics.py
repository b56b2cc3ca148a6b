"""Dice, HD95 and surface Dice: the rule for empty masks, and MONAI's values."""

import numpy as np
import pytest

from magpie_core.errors import InputError
from magpie_core.evaluation.region_metrics import dice, evaluate_case, hd95_mm
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation


@pytest.fixture
def blobs():
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in (30, 26, 18)], indexing="ij"))
    one = ((grid - np.array([14, 12, 8]).reshape(3, 1, 1, 1)) ** 2).sum(0) < 49
    other = ((grid - np.array([16, 13, 9]).reshape(3, 1, 1, 1)) ** 2).sum(0) < 36
    return one, other


EMPTY, FULL = np.zeros((4, 4, 4), bool), np.ones((4, 4, 4), bool)


@pytest.mark.parametrize(
    ("prediction", "reference", "expected_dice", "expected_hd95"),
    [(EMPTY, EMPTY, 1, 0), (FULL, EMPTY, 0, 374), (EMPTY, FULL, 0, 374), (FULL, FULL, 1, 0)],
)
def test_dice_and_hd95_follow_the_brats_rule_for_empty_masks(prediction, reference, expected_dice, expected_hd95):
    assert dice(prediction, reference) == expected_dice
    assert hd95_mm(prediction, reference, (1, 1, 1)) == expected_hd95


def test_dice_of_half_overlapping_masks():
    one, other = EMPTY.copy(), EMPTY.copy()
    one[:2], other[1:3] = True, True
    assert dice(one, other) == pytest.approx(0.5)


def test_hd95_is_in_millimeters():
    one, other = np.zeros((20, 6, 6), bool), np.zeros((20, 6, 6), bool)
    one[2], other[6] = True, True
    assert hd95_mm(one, other, (2.5, 1, 1)) == pytest.approx(10)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.0, 3.0)])
def test_hd95_equals_monais(blobs, spacing):
    metrics = pytest.importorskip("monai.metrics")
    import torch

    one, other = (torch.from_numpy(blob.astype(np.float32))[None, None] for blob in blobs)
    expected = metrics.compute_hausdorff_distance(
        one, other, include_background=True, percentile=95, spacing=list(spacing)
    )
    assert hd95_mm(*blobs, spacing) == pytest.approx(float(expected), abs=1e-4)


def _segmentation(labels, schema, affine=None):
    return Segmentation(labels.astype(np.uint8), np.eye(4) if affine is None else affine, label_schema(schema))


def test_evaluate_case_reads_labels_by_their_schema(blobs):
    one, other = blobs
    labels = np.where(one, 2, 0)
    labels[one & other] = 3
    reference = np.where(labels == 3, 4, labels)
    scores = evaluate_case(_segmentation(labels, "magpie"), _segmentation(reference, "brats-2022"))
    assert all(score["dice"] == 1 and score["hd95_mm"] == 0 for score in scores.values())
    assert scores["WT"]["volume_ml"] == pytest.approx(one.sum() / 1000)


def test_evaluate_case_ignores_the_storage_order(blobs):
    labels = np.where(blobs[0], 2, 0)
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = labels.shape[0] - 1
    scores = evaluate_case(_segmentation(labels, "magpie"), _segmentation(labels[::-1], "magpie", flipped))
    assert scores["WT"]["dice"] == 1


def test_evaluate_case_rejects_another_grid(blobs):
    labels = np.where(blobs[0], 2, 0)
    moved = np.eye(4)
    moved[0, 3] = 3
    with pytest.raises(InputError, match="3.00 mm"):
        evaluate_case(_segmentation(labels, "magpie"), _segmentation(labels, "magpie", moved))
    with pytest.raises(InputError, match="voxels"):
        evaluate_case(_segmentation(labels, "magpie"), _segmentation(labels[:-2], "magpie"))
