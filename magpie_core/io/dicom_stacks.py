"""Split the images of a series into stacks: one echo, component, Dixon part or acquisition each."""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from magpie_core.io.dicom_files import import_dicom
from magpie_core.io.dicom_images import COMPONENTS, DicomImage

SAME_PLACE_MM = 0.02  # along the stack
_SAME_DIRECTION = 0.05  # of cosines; a localizer's slices differ by 1
_SAME_NUMBER = 0.01  # of spacings and echo times, which some scanners compute anew for every slice
_MOST_ACQUISITIONS = 4  # more images at a place than this are a series over time, which no structural series is
_PLANES = ("sagittal", "coronal", "axial")
_DIXON = {
    "water": {"W", "WATER"},
    "fat": {"F", "FAT"},
    "in phase": {"IP", "IN", "IN_PHASE", "INPHASE"},
    "opposed phase": {"OP", "OPP", "OUT_PHASE", "OPP_PHASE", "OPPOSED_PHASE", "OUTPHASE"},
}
# Values of ImageType that repeat what other elements state.
_SAID_ELSEWHERE = set().union(*COMPONENTS.values(), {"FFE", "SE", "IR", "NONE", "ND", "MIXED"})


@dataclass(frozen=True, eq=False)
class Stack:
    """Images that make one volume, as far as their headers tell.

    Attributes:
        text: What tells the stack from the others of its series, such as "echo time 90 ms".
        notes: What was decided, for the user.
        copies: Images left out, as others hold the same pixels at the same place.
        repeated: Whether most places still hold several images.
    """

    images: tuple[DicomImage, ...]
    text: str = ""
    notes: tuple[str, ...] = ()
    copies: tuple[DicomImage, ...] = ()
    repeated: bool = False


def split_series(images: Sequence[DicomImage]) -> list[Stack]:
    """Split the images of one series into stacks, each with a text that tells it from the others."""
    labels = list(zip(*(criterion(images) for criterion in _KINDS), strict=True))
    groups: dict[tuple[str, ...], list[DicomImage]] = defaultdict(list)
    for image, label in zip(images, labels, strict=True):
        groups[label].append(image)
    telling: list[int] = []  # the fewest values that tell the stacks apart, in words the user knows first
    for column in range(len(_KINDS)):
        if _distinct(groups, [*telling, column]) > _distinct(groups, telling):
            telling.append(column)
    stacks = []
    for label, group in groups.items():
        text = ", ".join(part for column in telling if (part := label[column]))
        stacks += [
            replace(stack, text=", ".join(part for part in (text, stack.text) if part)) for stack in _settle(group)
        ]
    counted: Counter[str] = Counter()
    twice = {text for text, count in Counter(stack.text for stack in stacks).items() if count > 1}
    for position, stack in enumerate(stacks):
        if stack.text in twice:
            counted[stack.text] += 1
            part = f"part {counted[stack.text]}"
            stacks[position] = replace(stack, text=f"{stack.text}, {part}" if stack.text else part)
    return stacks


def _distinct(labels: Iterable[tuple[str, ...]], columns: Sequence[int]) -> int:
    return len({tuple(label[column] for column in columns) for label in labels})


def normal_of(images: Sequence[DicomImage]) -> np.ndarray | None:
    """Return the unit normal of the first image with an orientation (LPS); None if no image has one."""
    for image in images:
        if image.orientation:
            normal = np.cross(image.orientation[:3], image.orientation[3:])
            length = float(np.linalg.norm(normal))
            if length > 0.5:
                return np.asarray(normal / length)
    return None


def plane_of(normal: np.ndarray | None) -> str:
    """Return "axial", "coronal" or "sagittal", the nearest; empty where the orientation is not stated."""
    return "" if normal is None else _PLANES[int(np.abs(normal).argmax())]


def places(images: Sequence[DicomImage]) -> list[list[DicomImage]]:
    """Return the images in groups of one place, in the order of the stack; images without a position stand alone."""
    normal = normal_of(images)
    if normal is None or any(not image.position for image in images):
        return [[image] for image in images]
    depths = np.array([image.position for image in images]) @ normal
    order = np.argsort(depths, kind="stable")
    groups = [[images[order[0]]]]
    for before, here in zip(order[:-1], order[1:], strict=True):
        if depths[here] - depths[before] < SAME_PLACE_MM:
            groups[-1].append(images[here])
        else:
            groups.append([images[here]])
    return groups


# --- what always splits a series


def _clusters(values: Sequence[tuple[float, ...]], tolerance: float, *, relative: bool) -> list[int]:
    """Return for each value the number of the first value alike; values that are not stated are alike."""
    known: list[tuple[float, ...]] = []
    found = []
    for value in values:
        for number, other in enumerate(known):
            if len(value) != len(other):
                continue
            allowed = [tolerance * max(abs(one), 1e-6) if relative else tolerance for one in other]
            if all(abs(one - two) <= most for one, two, most in zip(value, other, allowed, strict=True)):
                found.append(number)
                break
        else:
            found.append(len(known))
            known.append(value)
    return found


def _sizes(images: Sequence[DicomImage]) -> list[str]:
    return [f"{image.size[0]} x {image.size[1]} pixels" for image in images]


def _planes(images: Sequence[DicomImage]) -> list[str]:
    clusters = _clusters([image.orientation for image in images], _SAME_DIRECTION, relative=False)
    names: dict[int, str] = {}
    for cluster, image in zip(clusters, images, strict=True):
        if cluster not in names:
            plane = plane_of(normal_of([image]))
            before = sum(name.split(" (")[0] == plane for name in names.values())
            names[cluster] = f"{plane} ({before + 1})" if before else plane
    return [names[cluster] for cluster in clusters]


def _spacings(images: Sequence[DicomImage]) -> list[str]:
    clusters = _clusters([image.spacing_mm for image in images], _SAME_NUMBER, relative=True)
    first = {cluster: image.spacing_mm for cluster, image in reversed(list(zip(clusters, images, strict=True)))}
    return [
        f"pixels of {' x '.join(f'{one:.3g}' for one in first[cluster])} mm" if first[cluster] else ""
        for cluster in clusters
    ]


def _components(images: Sequence[DicomImage]) -> list[str]:
    return [image.component for image in images]


def _image_types(images: Sequence[DicomImage]) -> list[str]:
    """Name Dixon parts; else the values of ImageType that differ, for maps and other by-products."""
    values = [image.image_type[2:] for image in images]
    common = set.intersection(*map(set, values)) if values else set()
    found = []
    for given in values:
        part = next((name for name, words in _DIXON.items() if words & set(given)), "")
        rest = [value for value in given if value not in common | _SAID_ELSEWHERE]
        found.append(part or " ".join(rest).lower())
    return found


def _stack_ids(images: Sequence[DicomImage]) -> list[str]:
    return [f"stack {number}" if (number := image.text("StackID")) else "" for image in images]


_KINDS: tuple[Callable[[Sequence[DicomImage]], list[str]], ...] = (
    _components, _image_types, _planes, _stack_ids, _spacings, _sizes,
)  # fmt: skip


# --- what tells several images at one place apart


def _by_number(
    text: str, name: Callable[[DicomImage], float | None], *, tolerance: float = 0.0
) -> Callable[[Sequence[DicomImage]], list[str]]:
    def labels(images: Sequence[DicomImage]) -> list[str]:
        values = [() if (value := name(image)) is None else (value,) for image in images]
        clusters = _clusters(values, tolerance, relative=True)
        first = dict(reversed(list(zip(clusters, values, strict=True))))
        return [text.format(*first[cluster]) if first[cluster] else "" for cluster in clusters]

    return labels


def _by_text(name: str) -> Callable[[Sequence[DicomImage]], list[str]]:
    return lambda images: [image.text(name) for image in images]


_CONTRASTS = (
    _by_number("echo time {:.4g} ms", lambda image: image.echo_ms, tolerance=_SAME_NUMBER),
    _by_number("b-value {:.0f}", lambda image: image.b_value, tolerance=_SAME_NUMBER),
    _by_number("inversion time {:.4g} ms", lambda image: image.number("InversionTime"), tolerance=_SAME_NUMBER),
    _by_number("flip angle {:.3g}°", lambda image: image.number("FlipAngle"), tolerance=_SAME_NUMBER),
    _by_number("echo {:.0f}", lambda image: image.number("EchoNumbers")),
    _by_text("SeriesDescription"),
)
_ACQUISITIONS = (
    _by_number("time point {:.0f}", lambda image: image.number("TemporalPositionIdentifier")),
    _by_number("time point {:.0f}", lambda image: image.number("TemporalPositionIndex")),
    _by_number("acquisition {:.0f}", lambda image: image.number("AcquisitionNumber")),
    _by_number("acquisition {:.0f}", lambda image: image.number("FrameAcquisitionNumber")),
    _by_number("trigger time {:.4g} ms", lambda image: image.number("TriggerTime"), tolerance=_SAME_NUMBER),
)


def _settle(images: Sequence[DicomImage]) -> list[Stack]:
    """Split images of one kind until no place holds two: leave copies out, and tell acquisitions apart."""
    if "MOSAIC" in images[0].image_type:  # each holds all slices of one time
        return [Stack(tuple(images), repeated=True)]
    images, notes = _placed_by_slice_location(images)
    groups = places(images)
    most = max(map(len, groups))
    if most == 1:
        return [Stack(tuple(images), notes=notes)]
    if most <= _MOST_ACQUISITIONS and (unique := _without_copies(groups)):
        kept = tuple(group[0] for group in unique)
        copies = tuple(image for group in unique for image in group[1:])
        count = f"{len(copies)} images were" if len(copies) > 1 else "1 image was"
        note = f"{count} exported twice, with the same pixels at the same place, and used once"
        return [Stack(kept, notes=(*notes, note), copies=copies)]
    for separator in _CONTRASTS if most > _MOST_ACQUISITIONS else (*_CONTRASTS, *_ACQUISITIONS):
        parts = _separate(images, separator, most)
        if parts:
            return [
                replace(stack, text=", ".join(text for text in (label, stack.text) if text), notes=notes + stack.notes)
                for label, part in parts.items()
                for stack in _settle(part)
            ]
    if most <= _MOST_ACQUISITIONS and min(map(len, groups)) == most and (ranked := _ranked(groups)):
        return [
            replace(stack, text=f"repetition {number} of {most}", notes=notes + stack.notes)
            for number, part in enumerate(ranked, 1)
            for stack in [Stack(tuple(part))]
        ]
    several = sum(len(group) > 1 for group in groups)
    return [Stack(tuple(images), notes=notes, repeated=2 * several > len(groups))]


def _separate(
    images: Sequence[DicomImage], separator: Callable[[Sequence[DicomImage]], list[str]], most: int
) -> dict[str, list[DicomImage]]:
    """Return the parts that a value makes, if each has fewer images at a place; else nothing.

    A value that changes from slice to slice, such as the time, makes more parts than a place has images.
    """
    parts: dict[str, list[DicomImage]] = defaultdict(list)
    for image, label in zip(images, separator(images), strict=True):
        parts[label].append(image)
    fewer = all(max(map(len, places(part))) < most for part in parts.values())
    return parts if 1 < len(parts) <= most and fewer else {}


def _ranked(groups: list[list[DicomImage]]) -> list[list[DicomImage]]:
    """Return the first images of all places, the second ones, and so on, by their numbers; nothing without numbers."""
    numbers = [image.number("InstanceNumber") for group in groups for image in group]
    if None in numbers or len(set(numbers)) < len(numbers):
        return []
    ordered = [sorted(group, key=lambda image: image.number("InstanceNumber") or 0.0) for group in groups]
    return [list(part) for part in zip(*ordered, strict=True)]


def _without_copies(groups: list[list[DicomImage]]) -> list[list[DicomImage]]:
    """Return the groups if in each all images hold the same pixels; else nothing."""
    read = lru_cache(maxsize=_MOST_ACQUISITIONS)(_pixel_data)  # a file may hold hundreds of the images
    for group in groups:
        if len(group) > 1 and len({_digest(image, read) for image in group}) > 1:
            return []
    return [
        sorted(group, key=lambda image: (image.number("InstanceNumber") or 0.0, str(image.path))) for group in groups
    ]


def _pixel_data(path: Path) -> bytes:
    pydicom = import_dicom("pydicom")
    return bytes(pydicom.dcmread(path, specific_tags=["PixelData"], force=True).PixelData)


def _digest(image: DicomImage, read: Callable[[Path], bytes]) -> Hashable:
    """Return a number of the pixels as stored; one of its own for an image whose pixels cannot be read."""
    try:
        data = read(image.path)
        if image.multi_frame:
            size = len(data) // max(int(image.number("NumberOfFrames") or 1), 1)
            data = data[image.index * size : (image.index + 1) * size]
        return len(data), zlib.crc32(data), image.size, image.number("RescaleSlope"), image.number("RescaleIntercept")
    except Exception:
        return image.path, image.index


def _placed_by_slice_location(images: Sequence[DicomImage]) -> tuple[Sequence[DicomImage], tuple[str, ...]]:
    """Place images that all state one position by their slice locations, where it is sure which way these count."""
    normal = normal_of(images)
    positions = {image.position for image in images}
    locations = [image.number("SliceLocation") for image in images]
    if len(images) < 2 or normal is None or len(positions) > 1 or () in positions or len(set(locations)) < len(images):
        return images, ()
    position = np.array(positions.pop())
    depth = float(position @ normal)
    first = min(images, key=lambda image: image.number("InstanceNumber") or 0.0).number("SliceLocation")
    if first is None or None in locations or abs(abs(first) - abs(depth)) > SAME_PLACE_MM or abs(depth) < 1:
        return images, ()
    sign = 1.0 if first * depth > 0 else -1.0
    placed = [
        replace(image, position=tuple(float(v) for v in position + (sign * float(location or 0.0) - depth) * normal))
        for image, location in zip(images, locations, strict=True)
    ]
    return placed, ("all images state one position; they were placed by their slice locations",)
