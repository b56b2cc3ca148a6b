"""Whether experts go with regions of the tumor, and whether that means anything."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from magpie_core.experts.expert_maps import FULL, ExpertMaps
from magpie_core.imaging.label_schema import Region
from magpie_core.imaging.segmentation import Segmentation

THRESHOLDS = tuple(step / 20 for step in range(1, 16))
STATED_THRESHOLD = 0.25  # twice the share that an expert of eight has by chance
_SHELL_MM = 3.0
_BOX_MARGIN_MM = 15.0
_PLACES = 4
REGIONS = ("ET", "TC", "ED", "background", "boundary")


@dataclass(frozen=True)
class Agreement:
    """One region, how each expert goes with it, and the expert that does best.

    Attributes
    ----------
    region
        "ET", "TC", "ED" (edema), "background" (brain that is no tumor), "boundary" (3 mm around the whole tumor's
        surface).
    where
        "brain", or "box": the whole tumor with 15 mm around it, where background does not outweigh everything.
    expert, threshold, iou
        Best expert, the threshold of its map, and their intersection over union.
    iou_stated
        The same expert's at the stated threshold.
    control
        Mean, over places elsewhere in the brain that the tumor is moved to, of the best IoU of any expert and
        threshold there: what size, shape and choice alone give.
    ceiling
        IoU of the region with itself as seen through tokens: about the most that a map can reach.
    information
        Mutual information of the expert's map (above the threshold or not) with the region, in bits.
    ious, ious_stated
        Of all experts in their order: the IoU at the best threshold of each, and at the stated one.
    """

    region: str
    where: str
    expert: int
    threshold: float
    iou: float
    iou_stated: float
    control: float
    ceiling: float
    information: float
    ious: tuple[float, ...]
    ious_stated: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for people: the expert counts from 1, as in the names of files."""
        return asdict(self) | {"expert": self.expert + 1}


def agreement(
    maps: ExpertMaps, truth: Segmentation, *, thresholds: tuple[float, ...] = THRESHOLDS
) -> list[Agreement]:
    """Compare every expert with every region, in the brain and in the tumor's box.

    Parameters
    ----------
    maps
        On the grid of `truth`.
    thresholds
        To choose from; give one only to keep to what was chosen elsewhere.

    Returns
    -------
    list
        One row for each region that is there, and each of the two places.
    """
    brain = np.asarray(maps.values.any(axis=0))
    spacing_mm = maps.geometry.spacing_mm
    masks = region_masks(truth, brain, spacing_mm)
    whole = truth.mask(Region.WT)
    shifts = _other_places(whole, brain)
    rows = []
    for where in ("brain", "box"):
        box = _bounds(brain) if where == "brain" else tumor_box(whole, spacing_mm)
        if box is None:
            continue
        crop = (slice(None), *box)
        inside = brain[box]
        values = maps.values[crop][:, inside]
        for region, mask in masks.items():
            if not mask[box].any():
                continue
            target = mask[box][inside]
            table = iou_table(values, target, thresholds)
            expert, step = np.unravel_index(int(table.argmax()), table.shape)
            controls = [
                _moved_best(
                    maps.values, mask, whole, brain, shift, box if where == "box" else None, thresholds
                )
                for shift in shifts
            ]
            stated = iou_table(values, target, (STATED_THRESHOLD,))[:, 0]
            rows.append(
                Agreement(
                    region,
                    where,
                    int(expert),
                    thresholds[step],
                    float(table[expert, step]),
                    float(stated[expert]),
                    float(np.mean(controls)) if controls else 0.0,
                    _ceiling(mask[box], maps.token_mm, spacing_mm, inside),
                    _information(values[expert] >= thresholds[step] * FULL, target),
                    tuple(table.max(axis=1).tolist()),
                    tuple(stated.tolist()),
                )
            )
    return rows


def region_masks(
    truth: Segmentation, brain: np.ndarray, spacing_mm: tuple[float, ...] | np.ndarray
) -> dict[str, np.ndarray]:
    """The regions that experts are compared with, (I, J, K) bool each, by name."""
    whole, core = truth.mask(Region.WT), truth.mask(Region.TC)
    distance = np.where(
        whole,
        ndimage.distance_transform_edt(whole, sampling=spacing_mm),
        ndimage.distance_transform_edt(~whole, sampling=spacing_mm),
    )
    return {
        "ET": truth.mask(Region.ET),
        "TC": core,
        "ED": whole & ~core,
        "background": brain & ~whole,
        "boundary": brain & (distance <= _SHELL_MM) & whole.any(),
    }


def tumor_box(whole: np.ndarray, spacing_mm: tuple[float, ...] | np.ndarray) -> tuple[slice, ...] | None:
    """The whole tumor (I, J, K) bool with 15 mm around it; None without a tumor."""
    return _bounds(whole, _BOX_MARGIN_MM, spacing_mm)


def iou_table(values: np.ndarray, target: np.ndarray, thresholds: tuple[float, ...]) -> np.ndarray:
    """IoU (E, thresholds) of maps (E, N) uint8 with a mask (N,), by histograms: one pass for all thresholds."""
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
    """Shifts (3,) that bring the tumor to other places of the brain, away from itself; the same every time."""
    if not whole.any():
        return []
    center = np.argwhere(whole[::2, ::2, ::2]).mean(axis=0) * 2
    extent = np.array([part.stop - part.start for part in ndimage.find_objects(whole.astype(np.uint8))[0]])
    candidates = np.argwhere(brain[::4, ::4, ::4]) * 4
    shifts = np.rint(candidates - center).astype(int)
    away = np.linalg.norm(shifts / np.maximum(extent, 1), axis=1)
    # Where the brain is too small for the tumor beside itself, the farthest places have to do.
    shifts = shifts[away >= min(0.7, np.quantile(away, 0.8))]
    random = np.random.default_rng(0)
    return [shifts[random.integers(len(shifts))] for _ in range(_PLACES)]


def _moved_best(
    values: np.ndarray,
    mask: np.ndarray,
    whole: np.ndarray,
    brain: np.ndarray,
    shift: np.ndarray,
    box: tuple[slice, ...] | None,
    thresholds: tuple[float, ...],
) -> float:
    """Best IoU of any expert and threshold with the region where the tumor is moved by `shift`."""
    # The background is what the moved tumor leaves of the brain.
    background = not (mask & whole).any()
    moved = brain & ~_shifted(whole, shift) if background else _shifted(mask, shift)
    place: tuple[slice, ...] = tuple(slice(0, size) for size in brain.shape)
    if box is not None:
        place = tuple(
            slice(max(0, part.start + int(step)), max(0, min(size, part.stop + int(step))))
            for part, step, size in zip(box, shift, brain.shape, strict=True)
        )
    inside = brain[place]
    target = moved[place][inside]
    crop = (slice(None), *place)
    return float(iou_table(values[crop][:, inside], target, thresholds).max()) if target.any() else 0.0


def _shifted(mask: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A mask moved by whole voxels; what leaves the image is gone."""
    moved = np.zeros_like(mask)
    source = tuple(
        slice(max(0, -step), min(size, size - step)) for step, size in zip(shift, mask.shape, strict=True)
    )
    target = tuple(
        slice(max(0, step), min(size, size + step)) for step, size in zip(shift, mask.shape, strict=True)
    )
    moved[target] = mask[source]
    return moved


def _information(found: np.ndarray, target: np.ndarray) -> float:
    joint = np.array(
        [[np.count_nonzero(found & target), np.count_nonzero(found & ~target)],
         [np.count_nonzero(~found & target), np.count_nonzero(~found & ~target)]], float
    )  # fmt: skip
    joint /= joint.sum()
    expected = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log2(joint[there] / expected[there])).sum())


def _ceiling(
    mask: np.ndarray, token_mm: float, spacing_mm: tuple[float, ...] | np.ndarray, inside: np.ndarray
) -> float:
    """IoU of a mask with its own mean over tokens, brought back linearly and cut at the best threshold."""
    size = [max(1, round(token_mm / spacing)) for spacing in spacing_mm]
    padded = np.pad(
        mask.astype(np.float32), [(0, -n % step) for n, step in zip(mask.shape, size, strict=True)]
    )
    blocks = padded.reshape(
        *(part for n, step in zip(padded.shape, size, strict=True) for part in (n // step, step))
    )
    tokens = blocks.mean(axis=(1, 3, 5))
    lines = [(np.arange(n) - (step - 1) / 2) / step for n, step in zip(mask.shape, size, strict=True)]
    back = ndimage.map_coordinates(tokens, np.meshgrid(*lines, indexing="ij"), order=1, mode="nearest")
    values = np.rint(back[inside] * FULL).clip(0, FULL).astype(np.uint8)[None]
    return float(iou_table(values, mask[inside], THRESHOLDS).max())


def _bounds(
    mask: np.ndarray, margin_mm: float = 0.0, spacing_mm: tuple[float, ...] | np.ndarray = (1.0, 1.0, 1.0)
) -> tuple[slice, ...] | None:
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return None
    return tuple(
        slice(max(0, part.start - round(margin_mm / spacing)), part.stop + round(margin_mm / spacing))
        for part, spacing in zip(found[0], spacing_mm, strict=True)
    )
