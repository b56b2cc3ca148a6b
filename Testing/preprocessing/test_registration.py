"""Two images of one head are brought together, whatever they show and however they are stored."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from magpie_core.imaging.volume import Volume
from magpie_core.preprocessing.registration import register

SHAPE = (88, 100, 80)
PARTS = (  # center and half axes in shares of the grid, then what they look like on two modalities
    ((0.50, 0.50, 0.50), (0.42, 0.44, 0.44), 0.9, 0.3),
    ((0.50, 0.50, 0.52), (0.36, 0.38, 0.38), 0.2, 0.1),
    ((0.50, 0.50, 0.53), (0.33, 0.35, 0.35), 0.6, 0.5),
    ((0.42, 0.55, 0.55), (0.05, 0.14, 0.08), 0.1, 1.0),
    ((0.58, 0.53, 0.56), (0.06, 0.12, 0.09), 0.1, 1.0),
    ((0.68, 0.66, 0.62), (0.10, 0.08, 0.09), 0.4, 0.8),
    ((0.50, 0.30, 0.28), (0.16, 0.10, 0.08), 0.7, 0.4),
)


def head(channel: int, spacing_mm: float = 2.0, seed: int = 0) -> Volume:
    """A head without symmetry, 2 mm, in one of two contrasts."""
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, n) for n in SHAPE], indexing="ij"))
    image = np.zeros(SHAPE)
    for center, axes, *values in PARTS:
        inside = sum(((g - c) / a) ** 2 for g, c, a in zip(grid, center, axes, strict=True)) < 1
        image[inside] = values[channel]
    texture = gaussian_filter(np.random.default_rng(7).standard_normal(SHAPE), 2)
    image = np.abs(image * (1 + (1 if channel else -1) * texture) + 0.02 * random.standard_normal(SHAPE))
    affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0])
    affine[:3, 3] = (90, 100, -70)
    return Volume((1000 * image).astype(np.float32), affine)


def moved(volume: Volume, degrees: tuple[float, float, float], shift_mm: tuple[float, float, float]):
    """The head imaged after a movement; and the motion, scanner's world -> head's world."""
    motion = np.eye(4)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(4)
        i, j = (other for other in range(3) if other != axis)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        motion = motion @ turn
    center = volume.affine[:3, :3] @ (np.array(SHAPE) / 2) + volume.affine[:3, 3]
    motion[:3, 3] = center - motion[:3, :3] @ center + shift_mm
    to_source = np.linalg.inv(volume.affine) @ motion @ volume.affine
    data = affine_transform(volume.data, to_source[:3, :3], to_source[:3, 3], order=1)
    return Volume(data, volume.affine), motion


def error_mm(found: np.ndarray, motion: np.ndarray, volume: Volume) -> float:
    index = np.argwhere(volume.data > 300)[::501].T
    points = np.linalg.inv(motion) @ volume.affine @ np.vstack([index, np.ones(index.shape[1])])
    return float(np.linalg.norm(((found - motion) @ points)[:3], axis=0).mean())


@pytest.mark.parametrize(
    ("degrees", "shift_mm"), [((0, 0, 0), (0, 0, 0)), ((12, -9, 6), (8, -10, 6)), ((0, 0, 15), (15, 0, 0))]
)
def test_a_known_motion_between_two_contrasts_is_found(degrees, shift_mm) -> None:
    fixed = head(0)
    moving, motion = moved(head(1, seed=1), degrees, shift_mm)
    found = register(moving, fixed, threads=1)
    assert error_mm(found.matrix, motion, fixed) < 1.0
    assert found.sharpness > 0.1
    assert found.rotation_deg == pytest.approx(
        np.degrees(np.arccos(np.clip((np.trace(motion[:3, :3]) - 1) / 2, -1, 1))), abs=1.5
    )


def test_the_storage_order_makes_no_difference() -> None:
    fixed = head(0)
    moving, motion = moved(head(1, seed=1), (6, 4, -5), (4, 3, -6))
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, SHAPE[0] - 1
    turned = Volume(moving.data[::-1].transpose(2, 0, 1), (moving.affine @ flip)[:, [2, 0, 1, 3]])
    assert error_mm(register(turned, fixed, threads=1).matrix, motion, fixed) < 1.0


def test_thick_slices() -> None:
    fixed = head(0)
    moving, motion = moved(head(1, seed=1), (5, -7, 3), (6, 2, -5))
    thick = moving.data[:, :, :78].reshape(88, 100, 26, 3).mean(axis=3)
    affine = moving.affine @ np.diag([1.0, 1.0, 3.0, 1.0])
    affine[:3, 3] += moving.affine[:3, 2]
    assert error_mm(register(Volume(thick, affine), fixed, threads=1).matrix, motion, fixed) < 1.5


def test_noise_gives_nothing_to_hold_on_to() -> None:
    noise = np.random.default_rng(0).uniform(0, 1000, SHAPE).astype(np.float32)
    assert register(Volume(noise, head(0).affine), head(0), threads=1).sharpness < 0.05
