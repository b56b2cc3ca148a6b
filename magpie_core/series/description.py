"""Read what a name says of an image: the weighting, contrast agent, kind and body part."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from magpie_core.imaging.modality import Modality
from magpie_core.series import vocabulary as known

_ENDING = (
    r"tse3d|tse|fse|se|gre|ge|ir|tir|tirm|ffe|tfe|tfl|vibe|spgr|fspgr|mp?rage|mpr|flash|fl2d|fl3d|space|spc|cube|vista|"
    r"blade|propeller|prop|frfse|3d|2d|ax|axial|tra|sag|sagittal|cor|coronal|iso|fs|filter|weighted|wi|brain|star|map|"
    r"mapping|maps|rho|flair|f|n|c|ce|cw|gd|gad|gado|km|mdc|post|pre|native|nativ|contrast|enhanced|pregad|postgad|"
    r"postgd|hr|stealth|water|ip"
)
_COMPOUND = re.compile(
    r"(?P<before>(?:s?3d|2d)?(?:s|e|se|cs|ax|axial|sag|cor|tra|brain|head|c|ce|post|pre|gd|km|r|w|iso|hr)?|"
    r"(?:ax|sag|cor|trans?|tra)(?:se|tse|fse))"
    rf"(?P<weighting>t1|t2|flair)(?P<w>w)?(?P<after>(?:(?:{_ENDING})+\d?)?)"
)
_SIGNS = (
    (r"\(\d+/[\d./]+\)\s*-\s*\(\d+/", " sub "),  # GE's name of a difference of two series
    (r"^fat(?::\s*|_)(?=ph\d|ax|sag|cor|obl|3d)", " fat only "),  # GE's name of a part of a Dixon series
    (
        r"(?<![^\W_])[sedv]{1,3}(?=(?:pre|post|subtr\w*|ip|water|dwi?|pwi|swip?|stir|adc)(?![^\W_]))",
        "",
    ),  # Philips's marks
    (r"(?<![^\W_])w[/&+ ]*w\s*/?\s*o(?![^\W_])|\+\s*/\s*-", " "),  # with and without: says nothing
    (r"(?<![^\W_])pre[ _/&+-]*(?:and|et|und|e|y|&|/)?[ _/&+-]*post(?![^\W_])", " "),
    (r"k\.\s?([lm])(?![^\W_])\.?", r"k\1 "),
    (r"kontraszt\w*[\s_]utan(?![^\W_])", " contrast "),  # Hungarian: after; Swedish: without
    (r"(?<![^\W_])(?:w/out|w[/\s_]o|s/c|s/k|o/km|z/c|u/k|s\.?m\.?d\.?c)(?![^\W_])\.?", " without contrast "),
    (r"(?<![^\W_])(?:o\.?\s?(?=km(?![^\W_]))|[os]\.?\s(?=gad|gd|mdc|inj|iv|civ|pdc|contr))", " without "),
    (r"(?<![^\W_])(?:[mn]\.?\s?km|c\.?m\.?d\.?c|w/(?=\s*$))(?![^\W_])", " contrast "),
    (r"m\.\s?d\.\s?c(?![^\W_])\.?", "mdc "),
    (r"(?<![^\W_])[so]/\s?(?=gad|gd|c\b|km|contr|mdc)", " without "),
    (r"(?<![^\W_])(?:[cm]/[ck]|m/km)(?![^\W_])|(?<![^\W_])(?:w|c|m)/\s?(?=gad|gd|c\b|km|contr|mdc)", " contrast "),
    (r"t2\*", " t2star "),
    (
        r"\+\s*(?:c|ce|k|km|iv|gd|inj\w*|gad\w*|contr\w*|kontr\w*|mdc)(?![^\W_])|"
        r"(?<![^\W_])(?:c|ce|k|gd|gad|km|iv|inj)\s?\+",
        " contrast ",
    ),
    (r"(?<=t1)w?[\s_]*\+(?=\s*$|\s*[^\s\w])", " contrast "),
    (r"(?<=[\s_(])-\s*(?:c|gd|km|inj|iv)(?![^\W_])|(?<![^\W_])(?:c|gd|km|iv|inj)-(?=$|[\s_.)])", " without contrast "),
    (r"(?<![^\W_])w\+(?![^\W_])", " contrast "),
    (r"(?<![^\W_])[ctl][\s_.-]*spine(?![^\W_])", " spine "),
    (r"(?<=[a-z0-9])(?=[^\x00-\x7f])|(?<=[^\x00-\x7f])(?=[a-z0-9])", " "),
    (r"(?<![^\W_])dark[\s_.-]*fl(?:uid)?(?![^\W_])", " darkfluid "),
    (r"(?<![^\W_])t[\s_]([12])(?=[\s_w]|$)", r" t\1"),
)
_PLAIN_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "ß": "ss"})
_EXAM = r"(?:perf\w*|dsc|dce|mra|dyn\w*)(?!\w)"
_AFTER_EXAM = re.compile(rf"(?<!\w)(?:post|after|nach|apres) {_EXAM}")
_BEFORE_EXAM = re.compile(rf"(?<!\w)(?:pre|before|vor|avant) {_EXAM}")


@dataclass(frozen=True)
class Description:
    """What a name says.

    Attributes:
        weighting: T1, T2, FLAIR or PD; None if the name does not say.
        contrast: Whether a contrast agent had been given; None if the name does not say.
        kind: What the image is instead of plain anatomy of a brain, such as "a localizer"; empty if it seems plain.
        part_of_head: Whether it shows one part of the head, such as the orbits.
        dual_echo: Whether it is one of a pair of proton density and T2.
    """

    weighting: Modality | None = None
    contrast: bool | None = None
    kind: str = ""
    part_of_head: bool = False
    dual_echo: bool = False

    @property
    def modality(self) -> Modality | None:
        """The modality that the name alone states; None if the image is of another kind."""
        if self.kind:
            return None
        return Modality.T1CE if self.weighting is Modality.T1 and self.contrast else self.weighting


def read_description(text: str) -> Description:
    """Read a series description, protocol or sequence name."""
    return describe(plain_words(text))


def describe(plain: str) -> Description:
    """Read a name that `plain_words` has made plain."""
    weighting, dual_echo = _weighting(plain)
    return Description(
        weighting,
        _contrast(plain, weighting),
        _kind(plain, weighting),
        bool(known.PART_OF_HEAD.search(plain)),
        dual_echo,
    )


def plain_words(text: str) -> str:
    """Return the words of a name in lower case, without accents, with signs ("+C", "w/o") spelled out.

    Compounds of a weighting are parted ("sT1W" is "t1", "T1post" is "t1 post", "3DFLAIR" is "3d flair").
    """
    text = unicodedata.normalize("NFKD", text.lower().translate(_PLAIN_LETTERS))
    text = unicodedata.normalize("NFKC", "".join(sign for sign in text if not unicodedata.combining(sign)))
    for pattern, words in _SIGNS:
        text = re.sub(pattern, words, text)
    return " ".join(part for word in re.findall(r"[^\W_]+", text) for part in _parts(word))


def read_weighting(word: str) -> Modality | None:
    """Return the weighting that one plain word states."""
    return _weighting(word)[0]


def _parts(word: str) -> list[str]:
    match = _COMPOUND.fullmatch(word)
    if not match:
        return [word]
    before = word[: match.start("weighting")]
    after = re.findall(_ENDING, match["after"])
    weighting = match["weighting"]
    if after[:1] == ["f"]:  # BraTS's "t2f"
        return ["flair"] if weighting == "t2" else [word]
    marks = {"n": "native", "c": "contrast", "cw": "contrast", "ce": "contrast", "gd": "contrast", "km": "contrast"}
    if weighting == "t2" and "star" in after:
        return ["t2star"]
    if after[:1] and after[0] in ("map", "maps", "mapping", "rho"):
        return [weighting, after[0]] if after[0] == "rho" else ["map"]
    front = []
    if weighting == "t1":
        front += ["contrast"] if before in ("c", "ce", "gd", "km") else [before] if before in ("post", "pre") else []
    return [*front, weighting, *(marks.get(part, part) for part in after)]


def _weighting(plain: str) -> tuple[Modality | None, bool]:
    """Return the weighting, and whether the image is of a dual-echo pair."""
    words = set(plain.split())
    t1, t2, flair = "t1" in words, "t2" in words, bool(known.FLAIR.search(plain))
    density, dual = bool(known.PROTON_DENSITY.search(plain)), bool(known.DUAL_ECHO.search(plain))
    if t1 and not t2:
        return Modality.T1, False  # also "T1 FLAIR", an inversion recovery that is T1-weighted
    if flair:
        return (None if t1 else Modality.FLAIR), False
    if t1:
        return None, False
    if t2:
        return Modality.T2, density or dual
    if density or dual:
        return (Modality.PD if density else None), dual
    if known.T1_SEQUENCES.search(plain):
        return Modality.T1, False
    return None, False


def _contrast(plain: str, weighting: Modality | None) -> bool | None:
    after_exam = bool(_AFTER_EXAM.search(plain))
    plain = known.OTHER_MEANINGS.sub(" ", plain)
    denied = bool(known.DENIED.search(plain))
    plain = known.DENIED.sub(" ", plain)
    weak = known.WEAK_AGENT if weighting is Modality.T1 else known.AGENT
    given = after_exam or any(pattern.search(plain) for pattern in (known.AGENT, known.AFTER, weak))
    native = denied or bool(known.NATIVE.search(plain)) or bool(re.search(r"(?<!\w)(?:no|non) ?$", plain))
    return None if given == native else given


def _kind(plain: str, weighting: Modality | None) -> str:
    cleared = _BEFORE_EXAM.sub(" ", _AFTER_EXAM.sub(" ", plain))
    for kind, pattern in known.KINDS.items():
        if pattern.search(cleared) and not (kind == "an echo-planar image" and weighting is Modality.FLAIR):
            return kind
    if known.OTHER_BODY_PART.search(cleared) and not known.HEAD.search(cleared):
        return "another part of the body"
    return ""
