"""Which of a visit's T1 series were acquired after a contrast agent had been given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from magpie_core.imaging.modality import Modality
from magpie_core.series import vocabulary as known
from magpie_core.series.classify import SeriesClass
from magpie_core.series.description import plain_words, read_description
from magpie_core.series.facts import SeriesFacts

_APART_S = 90.0  # no injection and second acquisition is quicker
_ALIKE = 0.15  # of echo, repetition and inversion times of one protocol

Classified = tuple[SeriesFacts, SeriesClass]


@dataclass(frozen=True)
class Contrast:
    """Whether a T1 series is one after contrast.

    Attributes:
        given: True, False, or None where only the user can tell.
        sure: Whether its own name or header says so; otherwise it is concluded from other series.
        reason: By what it was recognized.
        doubt: A sentence for the reader where it is not sure, the question where it is open; empty otherwise.
        likely: Where it is open, whether it is likelier that contrast had been given.
    """

    given: bool | None
    sure: bool
    reason: str
    doubt: str = ""
    likely: bool = False

    @property
    def modality(self) -> Modality:
        """T1CE after contrast, else T1; the likelier where it is open."""
        given = self.likely if self.given is None else self.given
        return Modality.T1CE if given else Modality.T1


def resolve_contrast(visit: Sequence[Classified]) -> dict[SeriesFacts, Contrast]:
    """Return for each T1 series of a visit whether contrast had been given.

    A series' own name decides; then what its header says of an agent, unless every series has that; then the time
    of acquisition: what follows an injection is after it, and of a protocol that was repeated the later one is.
    """
    t1 = [(facts, found) for facts, found in visit if found.modality is Modality.T1 and not found.flaw]
    opposed = _opposed(t1)
    decided = {
        facts: Contrast(found.contrast, True, f"its name says {'after' if found.contrast else 'before'} contrast")
        for facts, found in t1
        if found.contrast is not None and facts not in opposed
    }
    says_nothing = _agent_says_nothing(visit, t1)
    for facts, found in t1:
        if facts not in decided and (found.agent is False or (found.agent and not says_nothing)):
            decided[facts] = _by_agent(facts, found, t1)
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
    flawed = [(facts, found) for facts, found in visit if found.modality is Modality.T1 and found.flaw]
    return decided | {
        facts: Contrast(
            bool(found.contrast), True, f"its name says {'after contrast' if found.contrast else 'no more'}"
        )
        for facts, found in flawed
    }


def _opposed(t1: Sequence[Classified]) -> set[SeriesFacts]:
    """Return series of one protocol that differ in a single unknown word beside that for the agent.

    Where no other series is before contrast, one word probably means "with", the other "without".
    """
    named = [facts for facts, found in t1 if found.contrast and facts.names]
    if any(found.contrast is False for _, found in t1):
        return set()
    pairs = [pair for pair in combinations(named, 2) if _one_protocol(*pair) and _differ_beside_agent(*pair)]
    return {facts for pair in pairs for facts in pair}


def _differ_beside_agent(one: SeriesFacts, other: SeriesFacts) -> bool:
    words, others = (plain_words(facts.names[0]).split() for facts in (one, other))
    apart = [place for place, pair in enumerate(zip(words, others, strict=False)) if pair[0] != pair[1]]
    if len(words) != len(others) or len(apart) != 1:
        return False
    place = apart[0]
    beside = words[max(place - 1, 0) : place] + words[place + 1 : place + 2]
    unknown = not any(known.SAID_BY_PROTOCOLS.fullmatch(word) for word in (words[place], others[place]))
    return unknown and any(known.AGENT.fullmatch(word) for word in beside)


def _by_agent(facts: SeriesFacts, found: SeriesClass, t1: Sequence[Classified]) -> Contrast:
    """Believe what the header says of an agent, unless the same protocol was repeated later, without one."""
    if not found.agent:
        return Contrast(False, True, "its header says that no contrast agent was given")
    later = next((o for o, other in t1 if other.agent is other.contrast is None and _repeats_later(facts, o)), None)
    if later is not None:
        question = (
            f"The {facts.label} names a contrast agent, but {later.label}, which repeats it later, does not. Say which "
            f"follows contrast (command line: --series T1CE={later.number} or --series T1CE={facts.number})"
        )
        return Contrast(None, False, "its header names a contrast agent, but not that of its repetition", question)
    if found.agent_word:
        doubt = (
            f"The {facts.label} was taken as after contrast: its header says {found.agent_word!r} of a contrast agent. "
            f"Please check (command line: --series T1={facts.number} if none was given)."
        )
        return Contrast(True, False, f"its header says {found.agent_word!r} of a contrast agent", doubt)
    return Contrast(True, True, "its header names a contrast agent")


def _repeats_later(one: SeriesFacts, other: SeriesFacts) -> bool:
    timed = one.time_s is not None and other.time_s is not None
    return timed and "DERIVED" not in other.image_type[:1] and _repeats(one, other)


def _agent_says_nothing(visit: Sequence[Classified], t1: Sequence[Classified]) -> bool:
    """Whether the headers name an agent in series that show none: it is of the examination, not of the series."""
    native = any(found.agent and found.contrast is False for _, found in t1)
    anatomical = [found for _, found in visit if found.modality is not None]
    everywhere = all(found.agent for found in anatomical) and any(
        found.agent for found in anatomical if found.modality is not Modality.T1
    )
    acquired = sum("DERIVED" not in facts.image_type[:1] for facts, _ in t1)
    both = acquired > 1 and all(found.agent for _, found in t1)
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
    """Of series with one protocol, take the last for the one after contrast: what else would it be repeated for?

    Without times their numbers tell the order, which is not enough to go by.
    """
    ordered = sorted(
        (facts for facts, _ in rest),
        key=lambda facts: (facts.time_s or 0.0, "DERIVED" not in facts.image_type[:1], facts.number),
    )
    pairs = [(one, other) for one, other in combinations(ordered, 2) if _repeats(one, other)]
    if given_elsewhere or not pairs:
        return {}
    last = max((other for _, other in pairs), key=ordered.index)
    first = min((one for one, other in pairs if other is last), key=ordered.index)
    if first.time_s is None or last.time_s is None:
        question = (
            f"The {first.label} and {last.label} are of one protocol, and neither name nor time says which follows "
            f"contrast. Say which it is, if one does (command line: --series T1CE={last.number} or another number)"
        )
        found = {last: Contrast(None, False, f"it repeats {first.label}", question, likely=True)}
    else:
        minutes = (last.time_s - first.time_s) / 60
        doubt = (
            f"The {last.label} repeats {first.label} {minutes:.0f} minutes later, and so was taken as after contrast, "
            f"which neither name says: please check (command line: --series T1CE={last.number} or another number)."
        )
        found = {
            other: Contrast(True, False, f"acquired with {last.label} or later", doubt)
            for other in ordered
            if other.time_s is not None and other.time_s >= last.time_s - _APART_S
        }
        found[last] = Contrast(True, False, f"it repeats {first.label} {minutes:.0f} minutes later", doubt)
    return {**found, first: Contrast(False, False, f"{last.label} repeats it later")}


def _repeats(one: SeriesFacts, other: SeriesFacts) -> bool:
    if one.time_s is None or other.time_s is None:
        untimed = one.time_s is other.time_s and one.number != other.number
        named = bool(one.names) and one.names == other.names
        return untimed and (named or (_acquired_t1(one) and _acquired_t1(other) and _one_protocol(one, other)))
    return other.time_s - one.time_s >= _APART_S and _one_protocol(one, other)


def _acquired_t1(facts: SeriesFacts) -> bool:
    """Whether a series is original, and called a T1."""
    original = "DERIVED" not in facts.image_type[:1] and facts.plane != "" and facts.echo_ms is not None
    return original and any(read_description(name).weighting is Modality.T1 for name in facts.names[:2])


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
            f"The {facts.label} may be the T1 before or after contrast: every series of the examination names an "
            f"agent. Say which it is (command line: --series T1={facts.number} or --series T1CE={facts.number})",
        )
    before = [other for other, contrast in decided.items() if contrast.sure and contrast.given is False]
    like = [other for other in before if _repeats(other, facts) and other.time_s is None]
    if like and not any(contrast.given for contrast in decided.values()):
        question = (
            f"The {facts.label} may be the T1 after contrast: {like[0].label}, of the same protocol, is called the one "
            f"before (command line: --series T1CE={facts.number}, or --series T1CE=none if there is none)"
        )
        return Contrast(None, False, f"{like[0].label} is called the one before contrast", question, likely=True)
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
