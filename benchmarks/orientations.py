"""One study stored in every axis order and flip, left-handed and oblique: does the result stay where it is?

python benchmarks/orientations.py CASE [--model MODEL] [--every N]

Prints the whole-tumor Dice, in world space, of each variant's result against that of the study as it came.
"""

from __future__ import annotations

import argparse
from itertools import permutations, product
from pathlib import Path

import numpy as np
from scipy.ndimage import affine_transform

from magpie_core.evaluation.region_metrics import dice
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.models.model import Model, load_model
from magpie_core.models.registry import find_model
from magpie_core.synthesis.volume_operations import rotation_matrix


def stored(volume: Volume, axes: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same volume with its axes in another order, some of them flipped."""
    data = np.transpose(volume.data, axes)
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for new, (old, flipped) in enumerate(zip(axes, flips, strict=True)):
        matrix[old, new] = -1 if flipped else 1
        matrix[old, 3] = volume.shape[old] - 1 if flipped else 0
    data = np.flip(data, [axis for axis in range(3) if flips[axis]])
    return Volume(np.ascontiguousarray(data), volume.affine @ matrix)


def turned(volume: Volume, degrees: tuple[float, float, float], mirrored: bool) -> Volume:
    """The volume resampled (linearly) onto an oblique grid that covers it, left- or right-handed."""
    turn = rotation_matrix(np.deg2rad(degrees))
    if mirrored:
        turn = turn @ np.diag([-1, 1, 1])
    side = int(np.ceil(np.linalg.norm(volume.shape) * 0.85))
    center = volume.affine[:3, :3] @ ((np.array(volume.shape) - 1) / 2) + volume.affine[:3, 3]
    affine = np.eye(4)
    affine[:3, :3] = turn * np.linalg.norm(volume.affine[:3, :3], axis=0)
    affine[:3, 3] = center - affine[:3, :3] @ np.full(3, (side - 1) / 2)
    return Volume(_moved(volume.data.astype(np.float32), volume.affine, affine, (side,) * 3, order=1), affine)


def whole_tumor(study: Study, model: Model, like: Volume) -> np.ndarray:
    """Mask of the whole tumor on the grid of `like`."""
    found = segment_study(study, model).segmentation
    mask = found.mask(Region.WT).astype(np.uint8)
    return _moved(mask, found.affine, like.affine, like.shape, order=0) > 0


def _moved(data: np.ndarray, source: np.ndarray, target: np.ndarray, shape: tuple, *, order: int) -> np.ndarray:
    matrix = np.linalg.inv(source) @ target
    result: np.ndarray = affine_transform(data, matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=order)
    return result


def main() -> None:
    """Run all variants and print the worst."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--every", type=int, default=1, help="of the 48 storage orders, only every N-th")
    options = parser.parse_args()
    model = load_model(find_model(options.model))
    study = read_study(options.case)
    reference = study.volumes[study.reference]
    expected = whole_tumor(study, model, reference)
    orders = [(axes, tuple(flips)) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)]
    scores = []
    for axes, flips in orders[:: options.every]:
        variant = Study({name: stored(volume, axes, flips) for name, volume in study.volumes.items()}, study.name)
        scores.append(dice(whole_tumor(variant, model, reference), expected))
        print(f"axes {axes} flipped {flips}: {scores[-1]:.4f}", flush=True)
    print(f"worst of {len(scores)} storage orders: {min(scores):.4f}")
    for degrees, mirrored in (((12, 0, 0), False), ((8, -15, 10), False), ((20, 10, -15), True)):
        variant = Study({name: turned(volume, degrees, mirrored) for name, volume in study.volumes.items()}, study.name)
        score = dice(whole_tumor(variant, model, reference), expected)
        print(f"oblique by {degrees} degrees{', left-handed' if mirrored else ''}: {score:.4f}", flush=True)


if __name__ == "__main__":
    main()
