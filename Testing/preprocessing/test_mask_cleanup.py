"""The mask of the brain."""

from __future__ import annotations

import numpy as np

from magpie_core.preprocessing.mask_cleanup import main_parts


def test_holes_are_filled_and_specks_dropped() -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[3:15, 3:15, 3:15] = True
    solid = mask.copy()
    mask[7:9, 7:9, 7:9] = False  # a ventricle that is 0 in every modality
    mask[18, 18, 18] = True
    assert (main_parts(mask) == solid).all()


def test_a_hole_that_is_open_to_the_outside_stays() -> None:
    mask = np.zeros((12, 12, 12), bool)
    mask[2:10, 2:10, 2:10] = True
    mask[5, 5, 5:] = False
    assert (main_parts(mask) == mask).all()


def test_a_brain_that_touches_the_border_has_its_holes_filled_too() -> None:
    mask = np.ones((8, 8, 8), bool)
    mask[3, 3, 3] = False
    assert main_parts(mask).all()


def test_large_parts_that_hang_apart_are_kept() -> None:
    mask = np.zeros((20, 20, 20), bool)
    mask[2:12, 2:18, 2:18] = True
    mask[14:18, 6:12, 6:12] = True
    assert (main_parts(mask) == mask).all()


def test_an_empty_mask_stays_empty() -> None:
    assert not main_parts(np.zeros((4, 4, 4), bool)).any()
