"""Read what a file's name says of an image: modality, subject and visit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from magpie_core.imaging.modality import Modality
from magpie_core.series import vocabulary as known
from magpie_core.series.description import Description, describe, plain_words, read_description, read_weighting

_OTHERS = {"dwi": "DWI", "adc": "ADC", "swi": "SWI", "pd": "PD", "pdw": "PD", "ct": "CT", "pet": "PET"}

# Masks and by-products. The first mark one anywhere in a name; the others may also be part of a study's name.
_MASK = known.words("seg segm segmentation masks? brainmask labels? labelmap dseg probseg gt defacemask")
_MASK_AFTER = known.words("rois? tumou?r lesions? truth map prob pred prediction xfm warp bias uncertainty entropy")

# Words of acquisition or processing: they do not identify a patient or visit.
_ACQUISITION = known.words(r"""
    ax axial tra transvers* sag sagittal cor coronal [23]d iso iso1mm [12]mm brain head skull ss stripped skullstripped
    bet reg registered coreg coregistered aligned rigid resampled corrected n4 bfc norm normali[sz]ed preproc cropped
    raw orig original se tse fse ir gre gr tirm space cube vista spgr fspgr bravo mprage tfl fl3d fs fatsat sat dark
    fluid mr mri mrt scan image img weighted anat darkfluid mp rage contrast
""")
_MADE = ("a mask", "a subtraction", "a map", "a projection", "a phase image")  # from images, under their suffix
NOT_STATED = "its name states no modality"
_ONTO = known.words("to onto into in on over")
_TARGET = re.compile(r"(?<![^\W_])space-[^\W_]+", re.IGNORECASE)
_JOINED = re.compile(
    r"(?<![^\W_])(r?(?:t1(?:ce|c|gd|w)?|t2w?|flair|fl))(?:to|2)(t1\w*|t2\w*|flair\w*|mni\w*|sri\w*)", re.I
)


@dataclass(frozen=True)
class FileName:
    """The content of a file's name.

    Attributes:
        modality: The modality; None if the name states none, or that it is a mask.
        subject: The part that names a patient or visit; empty if there is none.
        contrast: Whether the name says that a contrast agent had been given; None if it does not say.
        reason: Why it states no modality.
    """

    modality: Modality | None
    subject: str
    contrast: bool | None = None
    reason: str = ""


def read_file_name(stem: str) -> FileName:
    """Read a file's name without its ending.

    An image that was moved onto another ("T2_to_T1ce") is what was moved, not what it was moved onto.
    """
    if re.match(r"sub-[^\W_]+_", stem):
        return _read_bids(stem)
    words = plain_words(_JOINED.sub(r"\1_to_\2", _TARGET.sub("", stem))).split()
    words = _before_target(words)
    first = next((index for index, word in enumerate(words) if read_weighting(word) is not None), None)
    if first is None:
        first = next((index for index, word in enumerate(words) if word in _OTHERS), None)
        text = " ".join(words)
        if first is None or _MASK.search(text):
            what = "its name is that of a mask" if _MASK.search(text) else NOT_STATED
            return FileName(None, "", reason=what)
        return FileName(Modality(_OTHERS[words[first]]), _subject(words[:first]))
    start = first
    while start and (_ACQUISITION.fullmatch(words[start - 1]) or _says_contrast(words[start - 1])):
        start -= 1
    number = max((index for index, word in enumerate(words[:start]) if re.search(r"\d", word)), default=-1)
    agents = [word for word in words[number + 1 : start] if known.AGENT.fullmatch(word)]  # before it, part of an ID
    found = describe(" ".join([*agents, *words[start:]]))
    if _MASK.search(" ".join(words)) or _MASK_AFTER.search(" ".join(words[first:])):
        return FileName(None, "", reason="its name is that of a mask or by-product")
    if found.modality is None:
        return FileName(None, "", reason=found.kind or "its name states more than one modality")
    return FileName(found.modality, _subject(words[:first]), found.contrast)


def _before_target(words: list[str]) -> list[str]:
    """Leave out what an image was moved onto."""
    for index, word in enumerate(words):
        onto = _ONTO.fullmatch(word) or (word == "2" and any(map(read_weighting, words[:index])))
        if onto and 0 < index < len(words) - 1:
            moved = words[:index]
            return [*moved[:-1], "flair"] if moved[-1] == "fl" else moved
    reg = [index for index, word in enumerate(words) if word in ("reg", "registered", "coreg", "aligned")]
    if reg and any(map(read_weighting, words[: reg[0]])) and any(map(read_weighting, words[reg[0] :])):
        return words[: reg[0]]
    return ["flair" if word == "fl" else word for word in words] if not any(map(read_weighting, words)) else words


def _says_contrast(word: str) -> bool:
    patterns = (known.AGENT, known.AFTER, known.NATIVE)
    return len(word) > 1 and any(pattern.fullmatch(word) for pattern in patterns)


def _subject(words: list[str]) -> str:
    """Return the words that name a patient or visit."""
    kept = [word for word in words if not (_ACQUISITION.fullmatch(word) or _says_contrast(word))]
    if len(kept) == 1 and re.fullmatch(r"\d{1,4}", kept[0]):
        return ""  # the number of a series, as converters put it in front
    return "_".join(kept)


def _read_bids(stem: str) -> FileName:
    """Take subject and contrast from the entities (`sub-01`, `ce-gad`), the weighting from the suffix."""
    parts = stem.split("_")
    entities = dict(part.split("-", 1) for part in parts if "-" in part)
    subject = "_".join(f"{key}-{entities[key]}" for key in ("sub", "ses") if key in entities)
    suffix = re.sub(r"(?i)^unit1$", "T1w", "_".join(part for part in parts if "-" not in part))
    if entities.get("part", "mag") != "mag":
        return FileName(None, "", reason="a phase image")
    made = next((kind for key in ("desc", "rec") if (kind := _kind_of(entities.get(key, ""))) in _MADE), "")
    if made or "inv" in entities:
        return FileName(None, "", reason=made or "an inversion image")
    named = read_file_name(suffix) if suffix else FileName(None, "", reason="its name has no suffix")
    if named.modality not in (Modality.T1, Modality.T1CE):
        return FileName(named.modality, subject if named.modality else "", reason=named.reason)
    contrast = named.contrast
    for entity in ("acq", "desc", "ce"):  # the last outranks
        said = _entity(entity, entities.get(entity, ""))
        contrast = contrast if said.contrast is None else said.contrast
    return FileName(Modality.T1CE if contrast else Modality.T1, subject, contrast)


def _kind_of(value: str) -> str:
    return read_description(f"T1 {value}").kind if value else ""


def _entity(name: str, value: str) -> Description:
    if not value:
        return Description()
    if name == "ce":
        none = known.NO_AGENT.fullmatch(plain_words(value)) or known.NATIVE.fullmatch(plain_words(value))
        return Description(Modality.T1, contrast=not none)
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[a-z])(?=\d)", " ", value)
    spaced = re.sub(r"(?i)(?<=\w)(postgad|postgd|post|gad|gd)$", r" \1", spaced)
    return read_description(f"T1 {spaced}")
