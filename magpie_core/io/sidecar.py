"""What the JSON file beside an image, as converters of DICOM write it (BIDS), adds to the image's name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from magpie_core.imaging.modality import Modality
from magpie_core.io.file_names import read_name, stem
from magpie_core.series.acquisition import FEWEST_IMAGES
from magpie_core.series.classify import classify_series
from magpie_core.series.contrast import Contrast, resolve_contrast
from magpie_core.series.facts import SeriesFacts
from magpie_core.series.file_name import NOT_STATED, FileName

_MOST_BYTES = 1 << 22
_T1 = (Modality.T1, Modality.T1CE)


def read_names(files: Iterable[Path]) -> dict[Path, FileName]:
    """Read the names of the image files of a folder, and where a name leaves it open, what their sidecars say.

    A name that states the modality is believed, and one that states the contrast, too; a T1 whose name says nothing
    of contrast, and a file whose name states no modality, are what the header of their series says.
    """
    names = {path: read_name(path) for path in files}
    facts = {path: found for path in names if (found := read_sidecar(path)) is not None}
    classes = {}
    for path, one in facts.items():
        class_ = classify_series(one)
        if names[path].modality in _T1 and class_.modality is None and not class_.reason.startswith("neither"):
            continue  # set aside by its header, against its name: left to the name
        said = names[path].contrast
        classes[path] = class_ if said is None else replace(class_, contrast=said)
    contrasts = resolve_contrast([(facts[path], class_) for path, class_ in classes.items()])
    for path, class_ in classes.items():
        name, contrast = names[path], contrasts.get(facts[path])
        if name.reason == NOT_STATED and class_.modality is not None:
            modality = contrast.modality if contrast else class_.modality
            names[path] = FileName(modality, name.subject, reason=f"{class_.reason} in its sidecar")
        elif name.modality is Modality.T1 and name.contrast is None and contrast is not None:
            names[path] = _with_contrast(name, contrast)
    return names


def _with_contrast(name: FileName, contrast: Contrast) -> FileName:
    """Complete the name of a T1 that says nothing of contrast."""
    if contrast.given:
        return replace(name, modality=Modality.T1CE, contrast=True, reason=f"by its sidecar, {contrast.reason}")
    if contrast.given is None:
        return replace(name, reason=f"by its name, but it may be after contrast: {contrast.reason}")
    return name


def read_sidecar(path: Path) -> SeriesFacts | None:
    """Read the JSON file beside an image; None if there is none, or it describes no series."""
    beside = path.with_name(f"{stem(path)}.json")
    try:
        if not beside.is_file() or beside.stat().st_size > _MOST_BYTES:
            return None
        said = json.loads(beside.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not any(key in said for key in ("SeriesDescription", "ProtocolName", "EchoTime")):
        return None
    return _facts(said)


def _facts(said: Mapping[str, Any]) -> SeriesFacts:
    kinds = _texts(said.get("ImageType"))
    words = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceDetails")
    agents = ("ContrastBolusAgent", "ContrastBolusIngredient")
    return SeriesFacts(
        number=int(_number(said.get("SeriesNumber")) or 0),
        names=tuple(text for key in words for text in _texts(said.get(key))[:1]),
        time_s=_seconds(said.get("AcquisitionTime")),
        modality=str(said.get("Modality") or "MR"),
        image_type=tuple(text.upper() for text in kinds),
        component=next((part for part in ("phase", "imaginary", "real") if part.upper() in map(str.upper, kinds)), ""),
        scanning_sequence=tuple(
            one for text in _texts(said.get("ScanningSequence")) for one in text.replace("\\", "_").upper().split("_")
        ),
        repetition_ms=_milliseconds(said.get("RepetitionTime")),
        echo_ms=_milliseconds(said.get("EchoTime")),
        inversion_ms=_milliseconds(said.get("InversionTime")),
        flip_deg=_number(said.get("FlipAngle")),
        agents=tuple(text for key in agents for text in _texts(said.get(key))),
        body_part=str(said.get("BodyPartExamined") or ""),
        frames=FEWEST_IMAGES,  # the image itself is judged when it is read
    )


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(text for text in values if isinstance(text, str) and text)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _milliseconds(value: Any) -> float | None:
    seconds = _number(value)
    return None if seconds is None else 1000 * seconds


def _seconds(value: Any) -> float | None:
    """Read "HH:MM:SS.ffffff"."""
    try:
        hours, minutes, seconds = (float(part) for part in str(value).split(":"))
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds
