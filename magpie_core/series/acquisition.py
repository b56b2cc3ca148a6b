"""What the acquisition of a series says of it: echo, repetition and inversion times, contrast agent, kind of image."""

from __future__ import annotations

from magpie_core.imaging.modality import Modality
from magpie_core.series.description import plain_words
from magpie_core.series.facts import SeriesFacts
from magpie_core.series.vocabulary import NO_AGENT, NOT_SAID, SURE_AGENT

FEWEST_IMAGES = 8
_MR_STORAGE = ("", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
_IMAGE_TYPES = (
    ("a localizer", {"LOCALIZER", "SCOUT"}),
    ("a diffusion image", {"DIFFUSION", "TRACEW", "TRACE", "ISOTROPIC", "DIFFUSION_ANISO", "ADC", "EADC", "FA"}),
    ("a diffusion image", {"ADC_UNSPECIFIED", "TENSOR", "TENSOR_B0", "EXP"}),
    ("a projection", {"PROJECTION IMAGE", "MIP", "MINIP", "MNIP", "MEAN_IP", "MAX_IP", "MIN_IP", "VOLUME RENDERING"}),
    ("a subtraction", {"SUBTRACTION", "SUB", "SUBTRACT", "SUBTRACT_A_B"}),
    ("a field map", {"FIELD_MAP", "B0", "B1", "PHASE MAP", "B0 MAP", "B1 MAP"}),
    ("a phase image", {"PHASE", "P", "PHASE_DIFF", "PHASE DIFFERENCE", "VELOCITY"}),
    ("a perfusion image without contrast", {"ASL"}),
    ("a perfusion image", {"PERFUSION", "CBF", "CBV", "RCBF", "RCBV", "RELCBF", "RELCBV", "MTT", "TTP", "GBP"}),
    ("a functional image", {"FMRI", "MOCO", "BOLD"}),
    ("a map", {"T1 MAP", "T2 MAP", "T1_MAP", "T2_MAP", "R2_MAP", "T2_STAR_MAP", "T2STAR MAP", "R2STAR MAP", "T2MAP"}),
    ("an angiography", {"ANGIO", "TOF", "FLOW_ENCODED", "PCA"}),
    ("a screenshot or report", {"SCREEN SAVE", "SCREENSAVE", "REPORT", "AVERAGE_REPORT"}),
    ("a spectrum", {"SPECTROSCOPY", "METABOLITE_MAP"}),
    ("a susceptibility image", {"SWI", "SWAN"}),
)  # fmt: skip
UNSPECIFIC = "an echo-planar image, as for diffusion, perfusion or function"
_COMPONENTS = {"phase": "a phase image", "imaginary": "an imaginary part", "real": "a real part"}
DIXON = {
    "water": ({"WATER", "W"}, 0),
    "in-phase": ({"IN_PHASE", "INPHASE", "IP", "IN"}, 1),
    "opposed-phase": ({"OPP_PHASE", "OPPOSED_PHASE", "OP", "OPP", "OUT_PHASE", "OUTPHASE"}, 2),
    "fat": ({"FAT", "F"}, 3),
}


def excluded_by_header(facts: SeriesFacts) -> str:
    """Return what the header says a series is instead of plain anatomy; empty if it does not."""
    if facts.modality != "MR":
        return f"not MR but {facts.modality or 'of unknown modality'}"
    if facts.sop_class not in _MR_STORAGE:
        return "not an MR image but a secondary capture or another object"
    values = set(facts.image_type[2:])
    for kind, known in _IMAGE_TYPES:
        if values & known:
            return kind
    if facts.component in _COMPONENTS and not (facts.component == "real" and "IR" in facts.scanning_sequence):
        return _COMPONENTS[facts.component]
    if dixon_part(facts) == "fat":
        return "the fat of a Dixon series"
    if facts.b_value:
        return "a diffusion image"
    if "EP" in facts.scanning_sequence and (facts.inversion_ms or 0) < 1500:
        return UNSPECIFIC
    return ""


def flaw_of(facts: SeriesFacts) -> str:
    """Return why a series cannot be used as one image, whatever it shows; empty if nothing is against it."""
    if facts.repeated:
        return "several images at the same places, such as of a series over time"
    return f"only {facts.frames} image{'s' if facts.frames > 1 else ''}" if facts.frames < FEWEST_IMAGES else ""


def dixon_part(facts: SeriesFacts) -> str:
    """Return which part of a Dixon series this is; empty for another series."""
    named = set(plain_words(facts.names[0]).split()) if facts.names else set()
    values = set(facts.image_type[2:])
    for part, (marks, _) in DIXON.items():
        if values & {mark for mark in marks if len(mark) > 1 or "DIXON" in values or mark in ("W", "F")}:
            return part
    if named & {"dixon", "ideal", "lava", "mdixon", "flex", "vibe", "w", "f", "opp"}:
        for part, (marks, _) in DIXON.items():
            if named & ({mark.lower() for mark in marks} - ({"in"} if "dixon" not in named else set())):
                return part
    if "phase" in named and len(named & {"in", "out", "opp", "opposed"}) == 1:
        return "in-phase" if "in" in named else "opposed-phase"
    return ""


def weighting_by_timing(facts: SeriesFacts) -> tuple[Modality | None, bool]:
    """Return the weighting by echo, repetition and inversion time, and whether these prove it.

    A short repetition and echo time alone prove no T1: field maps, gradient echoes, have them too.
    """
    echo, repetition, inversion = facts.echo_ms, facts.repetition_ms, facts.inversion_ms or 0.0
    if echo is None or repetition is None:
        return None, False
    spin_echo = "SE" in facts.scanning_sequence and "GR" not in facts.scanning_sequence
    if echo >= 60 and 1500 <= inversion <= 3200:
        return Modality.FLAIR, True
    if echo >= 60 and repetition >= 1500 and inversion == 0:
        return Modality.T2, True
    if echo <= 45 and 450 <= inversion <= 1400 and repetition <= 4000:
        return Modality.T1, True
    if echo <= 30 and repetition <= 1000 and "GR" not in facts.scanning_sequence:
        return Modality.T1, spin_echo
    if echo <= 45 and repetition >= 1800 and inversion == 0 and spin_echo:
        return Modality.PD, True
    return None, False


def agent_stated(facts: SeriesFacts) -> tuple[bool | None, str]:
    """Return whether the header names a contrast agent, or that none was given; None if it says nothing.

    The second value is what it says, if that is a word that is not known.
    """
    said = [(plain_words(text), text) for text in facts.agents if text.strip()]
    said = [(plain, text) for plain, text in said if not NOT_SAID.fullmatch(plain)]
    if not said:
        return None, ""
    given = [(plain, text) for plain, text in said if not NO_AGENT.fullmatch(plain)]
    known = any(SURE_AGENT.fullmatch(plain) for plain, _ in given)
    return bool(given), "" if known or not given else given[0][1]
