"""The modality of one series, by its name and its acquisition, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from magpie_core.imaging.modality import Modality
from magpie_core.series.acquisition import (
    UNSPECIFIC,
    agent_stated,
    dixon_part,
    excluded_by_header,
    flaw_of,
    weighting_by_timing,
)
from magpie_core.series.description import Description, read_description
from magpie_core.series.facts import SeriesFacts

UNKNOWN = "neither its name nor its timing is that of a known modality"


@dataclass(frozen=True, kw_only=True)
class SeriesClass:
    """What one series is, before its neighbors are asked.

    Attributes:
        modality: T1 stands for a T1 whose contrast is open or absent; None if the series is set aside.
        contrast: Whether a contrast agent had been given, by the series' own name; None if that does not say.
        agent: Whether the header names an agent (False: it says that none was given); None if it says nothing.
        agent_word: What the header says of an agent, if that is not known as the name of one.
        by_name: Whether the name states the modality; otherwise the timing alone does.
        reason: Why it is set aside, or by what it was recognized.
        doubts: Sentences about contradictions.
        demoted: Reasons to prefer any other series of the modality.
        flaw: Why its images make no volume, though its name states a modality; empty otherwise.
    """

    modality: Modality | None
    contrast: bool | None = None
    agent: bool | None = None
    agent_word: str = ""
    by_name: bool = False
    reason: str = ""
    doubts: tuple[str, ...] = ()
    demoted: tuple[str, ...] = field(default=())
    flaw: str = ""


def classify_series(facts: SeriesFacts) -> SeriesClass:
    """Classify a series by its own name and header."""
    reason = excluded_by_header(facts)
    read = [read_description(name) for name in facts.names]
    described = next((one for one in read if one.weighting is not None), Description())
    kind = read[0].kind if read else ""
    if reason == UNSPECIFIC or not reason:
        reason = kind or reason
    if reason:
        return SeriesClass(modality=None, reason=reason, contrast=read[0].contrast if read else None)
    timed, proven = weighting_by_timing(facts)
    modality, reason, doubts = _weigh(facts, described, timed, proven)
    flaw = flaw_of(facts)
    if modality is None or (flaw and described.weighting is None):
        return SeriesClass(modality=None, reason=flaw or reason)
    agent, agent_word = agent_stated(facts)
    return SeriesClass(
        modality=modality,
        contrast=_own_contrast(read, described) if modality is Modality.T1 else None,
        agent=agent,
        agent_word=agent_word,
        by_name=described.weighting is not None,
        reason=reason,
        doubts=doubts,
        demoted=((flaw,) if flaw else ()) + _demoted(facts, read),
        flaw=flaw,
    )


def _weigh(
    facts: SeriesFacts, described: Description, timed: Modality | None, proven: bool
) -> tuple[Modality | None, str, tuple[str, ...]]:
    """Return the weighting, by what it was recognized (or why not), and doubts."""
    named = described.weighting
    if named is None:
        if timed in (None, Modality.PD):
            return None, UNKNOWN, ()
        doubt = f"The {facts.label} was taken as {timed.label} by its timing alone: please check."
        return timed, "recognized by its timing", (doubt,)
    if described.dual_echo and facts.echo_ms is not None:
        named = Modality.T2 if facts.echo_ms >= 60 else Modality.PD
    if timed is None or timed is named:
        return named, "recognized by its name", ()
    if named is Modality.T2 and timed is Modality.FLAIR:
        return timed, "an inversion recovery that is called T2", ()
    if named is Modality.FLAIR and timed is Modality.T1 and facts.inversion_ms:
        return timed, "an inversion recovery with the timing of a T1", ()
    if named is Modality.T2 and timed is Modality.PD and (facts.echo_ms or 0) < 45:
        return Modality.PD, "called T2, with the timing of a proton density image", ()
    if not proven:
        return named, "recognized by its name", ()
    doubt = (
        f"The {facts.label} is described as {named.label}, but its timing is that of {timed.label}: "
        "please check which it is."
    )
    return named, "recognized by its name", (doubt,)


def _own_contrast(read: list[Description], described: Description) -> bool | None:
    """Return what the name that states the weighting says of contrast; without one, the series description.

    A protocol may be named after the whole examination.
    """
    return described.contrast if described.weighting is not None or not read else read[0].contrast


def _demoted(facts: SeriesFacts, read: list[Description]) -> tuple[str, ...]:
    part = dixon_part(facts)
    reasons = []
    if part == "opposed-phase":
        reasons.append("the opposed-phase image of a Dixon series")
    if any(one.part_of_head for one in read[:1]):
        reasons.append("of one part of the head")
    if len(facts.extent_mm) == 3 and min(facts.extent_mm) < 75:
        reasons.append(f"only {min(facts.extent_mm):.0f} mm are covered")
    return tuple(reasons)
