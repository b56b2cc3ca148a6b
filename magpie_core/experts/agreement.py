"""Agreement of experts with regions of the tumor, compared with its chance level and upper bound."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage, stats

from magpie_core.experts.expert_maps import FULL, ExpertMaps
from magpie_core.imaging.background import bounding_box
from magpie_core.imaging.glioma import Region
from magpie_core.imaging.segmentation import Segmentation

THRESHOLDS = tuple(step / 20 for step in range(1, 16))
FIXED_THRESHOLD = 0.25  # twice the mean probability of one of eight experts
_SHELL_MM = 3.0
_BOX_MARGIN_MM = 15.0
_SHIFTS = 4
_NAME_IOU = 0.4
_NAME_GAIN = 0.15
REGIONS = ("ET", "TC", "ED", "background", "boundary")


@dataclass(frozen=True)
class Agreement:
    """Agreement of one region with each expert, and with the best one.

    Attributes:
        region: "ET", "TC", "ED" (edema), "background" (brain without tumor), "boundary" (3 mm around the surface of the
            whole tumor).
        where: "brain", or "box": the bounding box of the whole tumor with a margin of 15 mm, which limits the
            background.
        expert, threshold, iou: Best expert, the threshold of its map, and their intersection over union.
        iou_at_fixed_threshold: IoU of the same expert at the fixed threshold.
        chance_level: Mean, over other places in the brain to which the tumor is moved, of the best IoU of any expert
            and threshold: the effect of size, shape and choice alone.
        upper_bound: IoU of the region with itself at the resolution of the tokens.
        mutual_information_bits: Mutual information of the region and the expert's map, cut at the threshold, in bits.
        ious, ious_at_fixed_threshold: IoU of all experts in their order, at the best threshold of each and at the fixed
            one.
    """

    region: str
    where: str
    expert: int
    threshold: float
    iou: float
    iou_at_fixed_threshold: float
    chance_level: float
    upper_bound: float
    mutual_information_bits: float
    ious: tuple[float, ...]
    ious_at_fixed_threshold: tuple[float, ...]

    @property
    def gain(self) -> float:
        """Excess of the IoU over the chance level."""
        return self.iou - self.chance_level

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for display: the expert is numbered from 1, as in file names."""
        return asdict(self) | {"expert": self.expert + 1}


def agreement(maps: ExpertMaps, segmentation: Segmentation) -> list[Agreement]:
    """Compare every expert with every region of a segmentation on its grid, in the brain and in the tumor's box.

    Returns:
        list: One row for each region that is not empty, in each of the two places.
    """
    brain = np.asarray(maps.values.any(axis=0))
    spacing_mm = maps.geometry.spacing_mm
    masks = region_masks(segmentation, brain, spacing_mm)
    whole = segmentation.mask(Region.WT)
    shifts = _other_places(whole, brain)
    rows = []
    for where, box in (("brain", bounding_box(brain)), ("box", tumor_box(whole, spacing_mm))):
        if box is None:
            continue
        inside = brain[box]
        crop = (slice(None), *box)
        values = maps.values[crop][:, inside]
        for region, mask in masks.items():
            if not mask[box].any():
                continue
            target = mask[box][inside]
            table = iou_table(values, target, THRESHOLDS)
            expert, step = np.unravel_index(int(table.argmax()), table.shape)
            fixed = iou_table(values, target, (FIXED_THRESHOLD,))[:, 0]
            area = box if where == "box" else None
            by_chance = [_best_iou_of_shifted(maps.values, mask, whole, brain, shift, area) for shift in shifts]
            rows.append(
                Agreement(
                    region=region,
                    where=where,
                    expert=int(expert),
                    threshold=THRESHOLDS[step],
                    iou=float(table[expert, step]),
                    iou_at_fixed_threshold=float(fixed[expert]),
                    chance_level=float(np.mean(by_chance)) if by_chance else 0.0,
                    upper_bound=_upper_bound(mask[box], maps.token_mm, spacing_mm, inside),
                    mutual_information_bits=_mutual_information(values[expert] >= THRESHOLDS[step] * FULL, target),
                    ious=tuple(table.max(axis=1).tolist()),
                    ious_at_fixed_threshold=tuple(fixed.tolist()),
                )
            )
    return rows


def suggest_names(rows: Iterable[Agreement]) -> dict[int, str]:
    """Suggest the region to name an expert after, by the expert's number (from 0); most experts have none.

    An expert is named after a region that it fits best of all experts in the tumor's bounding box, with an IoU of at
    least 0.4 that exceeds the chance level by at least 0.15; of several regions, after the one with the largest excess.
    """
    best: dict[int, Agreement] = {}
    for row in rows:
        if row.where == "box" and row.iou >= _NAME_IOU and row.gain >= _NAME_GAIN:
            best[row.expert] = max(best.get(row.expert, row), row, key=lambda one: one.gain)
    return {expert: best[expert].region for expert in sorted(best)}


def region_masks(
    segmentation: Segmentation, brain: np.ndarray, spacing_mm: tuple[float, ...] | np.ndarray
) -> dict[str, np.ndarray]:
    """Return the regions that experts are compared with, (I, J, K) bool each, by name."""
    whole, core = segmentation.mask(Region.WT), segmentation.mask(Region.TC)
    distance = np.where(
        whole,
        ndimage.distance_transform_edt(whole, sampling=spacing_mm),
        ndimage.distance_transform_edt(~whole, sampling=spacing_mm),
    )
    return {
        "ET": segmentation.mask(Region.ET),
        "TC": core,
        "ED": whole & ~core,
        "background": brain & ~whole,
        "boundary": brain & (distance <= _SHELL_MM) & whole.any(),
    }


def tumor_box(whole: np.ndarray, spacing_mm: tuple[float, ...] | np.ndarray) -> tuple[slice, ...] | None:
    """Return the bounding box of the whole tumor (I, J, K) bool with a margin of 15 mm; None without a tumor."""
    box = bounding_box(whole)
    margins = [round(_BOX_MARGIN_MM / spacing) for spacing in spacing_mm]
    return box and tuple(slice(max(0, p.start - n), p.stop + n) for p, n in zip(box, margins, strict=True))


def iou_table(values: np.ndarray, target: np.ndarray, thresholds: tuple[float, ...]) -> np.ndarray:
    """Compute the IoU (E, thresholds) of maps (E, N) uint8 with a mask (N,), by histograms."""
    edges = np.clip(np.ceil(np.array(thresholds) * FULL).astype(int), 0, FULL)
    table = np.zeros((len(values), len(thresholds)))
    size = np.count_nonzero(target)
    for expert, row in enumerate(values):
        everywhere = np.bincount(row, minlength=FULL + 1)[::-1].cumsum()[::-1][edges]
        within = np.bincount(row[target], minlength=FULL + 1)[::-1].cumsum()[::-1][edges]
        union = everywhere + size - within
        table[expert] = np.divide(within, union, out=np.zeros(len(edges)), where=union > 0)
    return table


def _other_places(whole: np.ndarray, brain: np.ndarray) -> list[np.ndarray]:
    """Draw shifts (3,) in voxels that move the tumor to other places of the brain, with a fixed seed."""
    if not whole.any():
        return []
    center = np.argwhere(whole[::2, ::2, ::2]).mean(axis=0) * 2
    extent = np.array([part.stop - part.start for part in bounding_box(whole) or ()])
    candidates = np.argwhere(brain[::4, ::4, ::4]) * 4
    shifts = np.rint(candidates - center).astype(int)
    away = np.linalg.norm(shifts / np.maximum(extent, 1), axis=1)
    # If the brain is too small for places beside the tumor, the farthest ones are used.
    shifts = shifts[away >= min(0.7, np.quantile(away, 0.8))]
    rng = np.random.default_rng(0)
    return [shifts[rng.integers(len(shifts))] for _ in range(_SHIFTS)]


def _best_iou_of_shifted(
    values: np.ndarray,
    mask: np.ndarray,
    whole: np.ndarray,
    brain: np.ndarray,
    shift: np.ndarray,
    box: tuple[slice, ...] | None,
) -> float:
    """Compute the best IoU of any expert and threshold with the region of the tumor moved by `shift`."""
    # The background is the brain without the moved tumor.
    background = not (mask & whole).any()
    moved = brain & ~_shifted(whole, shift) if background else _shifted(mask, shift)
    if box is None:
        box = tuple(slice(0, size) for size in brain.shape)
    else:
        box = tuple(
            slice(max(0, part.start + int(step)), max(0, min(size, part.stop + int(step))))
            for part, step, size in zip(box, shift, brain.shape, strict=True)
        )
    inside = brain[box]
    target = moved[box][inside]
    crop = (slice(None), *box)
    return float(iou_table(values[crop][:, inside], target, THRESHOLDS).max()) if target.any() else 0.0


def _shifted(mask: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Move a mask by whole voxels, with zeros beyond the image."""
    moved = np.zeros_like(mask)
    source = tuple(slice(max(0, -step), min(size, size - step)) for step, size in zip(shift, mask.shape, strict=True))
    target = tuple(slice(max(0, step), min(size, size + step)) for step, size in zip(shift, mask.shape, strict=True))
    moved[target] = mask[source]
    return moved


def _mutual_information(found: np.ndarray, target: np.ndarray) -> float:
    joint = np.bincount(2 * found + target, minlength=4).reshape(2, 2) / len(found)
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    return float(stats.entropy(joint.ravel(), expected.ravel(), base=2))


def _upper_bound(
    mask: np.ndarray, token_mm: float, spacing_mm: tuple[float, ...] | np.ndarray, inside: np.ndarray
) -> float:
    """Compute the IoU of a mask with its mean over tokens, interpolated linearly and cut at the best threshold."""
    size = [max(1, round(token_mm / spacing)) for spacing in spacing_mm]
    padded = np.pad(mask.astype(np.float32), [(0, -n % step) for n, step in zip(mask.shape, size, strict=True)])
    blocks = padded.reshape(*(part for n, step in zip(padded.shape, size, strict=True) for part in (n // step, step)))
    tokens = blocks.mean(axis=(1, 3, 5))
    axes = [(np.arange(n) - (step - 1) / 2) / step for n, step in zip(mask.shape, size, strict=True)]
    interpolated = ndimage.map_coordinates(tokens, np.meshgrid(*axes, indexing="ij"), order=1, mode="nearest")
    values = np.rint(interpolated[inside] * FULL).clip(0, FULL).astype(np.uint8)[None]
    return float(iou_table(values, mask[inside], THRESHOLDS).max())
