"""Which of a visit's T1 series were acquired after a contrast agent had been given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from magpie_core.imaging.modality import Modality
from magpie_core.series.classify import SeriesClass
from magpie_core.series.facts import SeriesFacts

_APART_S = 90.0  # no injection and second acquisition is quicker
_ALIKE = 0.15  # of echo, repetition and inversion times of one protocol

Classified = tuple[SeriesFacts, SeriesClass]


@dataclass(frozen=True)
class Contrast:
    """Whether a T1 series is one after contrast.

    Attributes:
        given: True, False, or None where it is open.
        sure: Whether its own name or header says so; otherwise it is concluded from other series.
        reason: By what it was recognized.
        doubt: A sentence for the reader where it is not sure; empty otherwise.
    """

    given: bool | None
    sure: bool
    reason: str
    doubt: str = ""

    @property
    def modality(self) -> Modality:
        """T1CE after contrast; else T1, also where it is open."""
        return Modality.T1CE if self.given else Modality.T1


def resolve_contrast(visit: Sequence[Classified]) -> dict[SeriesFacts, Contrast]:
    """Return for each T1 series of a visit whether contrast had been given.

    A series' own name decides; then what its header says of an agent, unless every series has that; then the time
    of acquisition: what follows an injection is after it, and of a protocol that was repeated the later one is.
    """
    t1 = [(facts, found) for facts, found in visit if found.modality is Modality.T1]
    decided = {
        facts: Contrast(found.contrast, True, f"its name says {'after' if found.contrast else 'before'} contrast")
        for facts, found in t1
        if found.contrast is not None
    }
    says_nothing = _agent_says_nothing(visit, t1)
    for facts, found in t1:
        if facts not in decided and (found.agent is False or (found.agent and not says_nothing)):
            said = "names a contrast agent" if found.agent else "says that no contrast agent was given"
            decided[facts] = Contrast(found.agent, True, f"its header {said}")
    open_ = [(facts, found) for facts, found in t1 if facts not in decided]
    for facts, _ in open_:
        concluded = _by_time(facts, visit, decided)
        if concluded:
            decided[facts] = concluded
    rest = [(facts, found) for facts, found in open_ if facts not in decided]
    decided.update(_by_repetition(rest, any(contrast.given for contrast in decided.values())))
    for facts, found in rest:
        if facts not in decided:
            decided[facts] = _undecided(facts, found, decided)
    return decided


def _agent_says_nothing(visit: Sequence[Classified], t1: Sequence[Classified]) -> bool:
    """Whether the headers name an agent in series that show none: it is of the examination, not of the series."""
    native = any(found.agent and found.contrast is False for _, found in t1)
    anatomical = [found for _, found in visit if found.modality is not None]
    everywhere = all(found.agent for found in anatomical) and any(
        found.agent for found in anatomical if found.modality is not Modality.T1
    )
    both = len(t1) > 1 and all(found.agent for _, found in t1)
    return native or everywhere or (both and not any(found.contrast for _, found in t1))


def _by_time(facts: SeriesFacts, visit: Sequence[Classified], decided: dict[SeriesFacts, Contrast]) -> Contrast | None:
    """Compare with the first series known to follow an injection, and with those known to precede it."""
    if facts.time_s is None:
        return None
    injected = [
        other
        for other, found in visit
        if other.time_s is not None
        and (
            (other in decided and decided[other].sure and decided[other].given)
            or (found.modality is None and found.reason == "a perfusion image" and found.contrast is not False)
        )
    ]
    first = min(injected, key=lambda other: other.time_s or 0.0, default=None)
    if first is not None and first.time_s is not None:
        if facts.time_s < first.time_s:
            return Contrast(False, True, f"acquired before {first.label}, which follows the injection")
        return Contrast(
            True,
            False,
            f"acquired after {first.label}, when contrast had been given",
            f"The {facts.label} was acquired after {first.label}, and so was taken as after contrast, which its name "
            f"does not say: please check (command line: --series T1={facts.number} if it is not).",
        )
    return None


def _by_repetition(rest: Sequence[Classified], given_elsewhere: bool) -> dict[SeriesFacts, Contrast]:
    """Of series with one protocol, take the last for the one after contrast: what else would it be repeated for?"""
    if given_elsewhere:
        return {}
    timed = sorted((facts for facts, _ in rest if facts.time_s is not None), key=lambda facts: facts.time_s or 0.0)
    pairs = [
        (one, other)
        for one, other in combinations(timed, 2)
        if (other.time_s or 0.0) - (one.time_s or 0.0) >= _APART_S and _one_protocol(one, other)
    ]
    if not pairs:
        return {}
    last = max((other for _, other in pairs), key=lambda facts: facts.time_s or 0.0)
    first = min((one for one, other in pairs if other is last), key=lambda facts: facts.time_s or 0.0)
    minutes = ((last.time_s or 0.0) - (first.time_s or 0.0)) / 60
    doubt = (
        f"The {last.label} repeats {first.label} {minutes:.0f} minutes later, and so was taken as after contrast, "
        f"which neither name says: please check (command line: --series T1CE={last.number} or another number)."
    )
    found = {last: Contrast(True, False, f"it repeats {first.label} {minutes:.0f} minutes later", doubt)}
    found[first] = Contrast(False, False, f"{last.label} repeats it later")
    return found


def _one_protocol(one: SeriesFacts, other: SeriesFacts) -> bool:
    def alike(a: float | None, b: float | None) -> bool:
        return (a or 0.0) == (b or 0.0) or abs((a or 0.0) - (b or 0.0)) <= _ALIKE * max(a or 0.0, b or 0.0)

    timing = all(
        alike(a, b)
        for a, b in (
            (one.repetition_ms, other.repetition_ms),
            (one.echo_ms, other.echo_ms),
            (one.inversion_ms, other.inversion_ms),
        )
    )
    return (one.plane == other.plane and timing) or (one.names[:1] == other.names[:1] and bool(one.names))


def _undecided(facts: SeriesFacts, found: SeriesClass, decided: dict[SeriesFacts, Contrast]) -> Contrast:
    if found.agent and not any(contrast.given for contrast in decided.values()):
        return Contrast(
            None,
            False,
            "the header names a contrast agent, but so do those of other series",
            f"The {facts.label} may be before or after contrast: every series of the examination names the agent.",
        )
    before = [other for other, contrast in decided.items() if contrast.sure and contrast.given is False]
    later = [
        other
        for other in before
        if facts.time_s is not None
        and other.time_s is not None
        and facts.time_s - other.time_s >= _APART_S
        and decided[other].reason.startswith("its name")
    ]
    if later and not any(contrast.given for contrast in decided.values()):
        return Contrast(
            True,
            False,
            f"acquired after {later[0].label}, which is called the one before contrast",
            f"The {facts.label} was acquired after {later[0].label}, which is called the one before contrast, and so "
            f"was taken as after it: please check (command line: --series T1={facts.number} if it is not).",
        )
    return Contrast(False, True, "nothing says that contrast had been given")
