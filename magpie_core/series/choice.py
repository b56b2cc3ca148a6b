"""Choose the series of each modality among all of a visit, and account for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.series.acquisition import dixon_part
from magpie_core.series.classify import UNKNOWN, SeriesClass, classify_series
from magpie_core.series.contrast import Contrast, resolve_contrast
from magpie_core.series.facts import SeriesFacts
from magpie_core.series.vocabulary import HEAD

_ELSEWHERE_MM = 120.0  # between the middles of a brain and of a neck


@dataclass(frozen=True)
class Candidate:
    """A series that can be used as a modality.

    Attributes:
        reason: By what it was recognized.
        sure: Whether name or header say so, rather than its neighbors or its timing alone.
        doubts: Sentences to show if it is used.
        flaw: Why it cannot be used, though its name states the modality.
    """

    facts: SeriesFacts
    modality: Modality
    reason: str
    sure: bool = True
    doubts: tuple[str, ...] = ()
    demoted: tuple[str, ...] = ()
    flaw: str = ""

    @property
    def rank(self) -> tuple[int, bool, bool, int, bool, float, int, int]:
        """Sort key, best first: nothing against it, sure, original, the best part, finest, most images, latest."""
        facts = self.facts
        derived = "DERIVED" in facts.image_type[:1]
        flat = len(facts.spacing_mm) == 3 and max(facts.spacing_mm) > 8
        part = {"": 0, "water": 0, "in-phase": 1}.get(dixon_part(facts), 2)
        fine = round(facts.voxel_ml, 5) if facts.voxel_ml else 1.0
        return (len(self.demoted), not self.sure, derived, part, flat, fine, -facts.frames, -facts.number)


@dataclass(frozen=True)
class Choice:
    """The candidates of each modality, best first, and why the other series are set aside.

    Attributes:
        open: Sentences about what only the user can tell: which of two modalities a series is.
        unknown: Series set aside as nothing says what they are.
    """

    candidates: Mapping[Modality, Sequence[Candidate]]
    aside: Sequence[tuple[SeriesFacts, str]]
    open: Sequence[str] = ()
    unknown: Sequence[SeriesFacts] = ()


def choose_series(visit: Sequence[SeriesFacts], chosen: Mapping[Modality, int | None] | None = None) -> Choice:
    """Choose among the series of one visit.

    Args:
        chosen: Numbers of the series to use for some modalities; None to use none.

    Raises:
        InputError: If a chosen number is not there or given twice.
    """
    chosen = chosen or {}
    _check_numbers(visit, chosen)
    classes = [(facts, classify_series(facts)) for facts in visit]
    contrasts = resolve_contrast(classes)
    found: dict[Modality, list[Candidate]] = {}
    aside: list[tuple[SeriesFacts, str]] = []
    numbered: list[SeriesFacts] = []
    numbers = {number: modality for modality, number in chosen.items() if number is not None}
    for facts, class_ in classes:
        if facts.number in numbers:
            numbered.append(facts)
            wanted = numbers[facts.number]
            unlike = ("not what was asked for",) if class_.modality is None else ()
            found.setdefault(wanted, []).append(Candidate(facts, wanted, "chosen by number", demoted=unlike))
            continue
        candidate = _candidate(facts, class_, contrasts)
        if candidate is None:
            aside.append((facts, class_.reason))
        elif candidate.modality in chosen:
            other = chosen[candidate.modality]
            aside.append((facts, f"series {other} was chosen" if other is not None else "left out, as was wanted"))
        else:
            found.setdefault(candidate.modality, []).append(candidate)
    found, elsewhere = _set_other_places_aside(found)
    ordered = {
        modality: sorted(found[modality], key=lambda one: one.rank) for modality in Modality if found.get(modality)
    }
    for modality, several in ordered.items():
        if not all(one.flaw for one in several):
            aside += [(one.facts, one.flaw) for one in several if one.flaw]
            ordered[modality] = [one for one in several if not one.flaw]
    used = {several[0].facts for several in ordered.values()}
    lost = Modality.T1CE not in {*ordered, *chosen}
    questions = [
        one.doubt
        for facts, one in contrasts.items()
        if one.given is None and facts not in numbered and (lost or facts in used)
    ]
    unknown = [facts for facts, reason in aside if reason == UNKNOWN and "DERIVED" not in facts.image_type[:1]]
    return Choice(ordered, [*aside, *elsewhere], questions, unknown)


def _check_numbers(visit: Sequence[SeriesFacts], chosen: Mapping[Modality, int | None]) -> None:
    given = [number for number in chosen.values() if number is not None]
    twice = sorted({number for number in given if given.count(number) > 1})
    if twice:
        raise InputError(
            f"Series {twice[0]} was given for more than one modality", remedy="Give each modality a series of its own"
        )
    there = sorted({facts.number for facts in visit})
    for modality, number in chosen.items():
        if number is not None and number not in there:
            raise InputError(
                f"There is no series {number} to take as {modality.label}",
                cause=f"there are {', '.join(map(str, there))}",
                remedy="Give one of these numbers; magpie inspect shows what they are",
            )


def _candidate(facts: SeriesFacts, class_: SeriesClass, contrasts: Mapping[SeriesFacts, Contrast]) -> Candidate | None:
    if class_.modality is None:
        return None
    if facts not in contrasts:
        return Candidate(
            facts, class_.modality, class_.reason, class_.by_name, class_.doubts, class_.demoted, class_.flaw
        )
    contrast = contrasts[facts]
    doubts = (*class_.doubts, contrast.doubt) if contrast.doubt and contrast.given is not None else class_.doubts
    return Candidate(
        facts,
        contrast.modality,
        f"{class_.reason}; {contrast.reason}",
        class_.by_name and contrast.sure,
        doubts,
        class_.demoted,
        class_.flaw,
    )


def _set_other_places_aside(
    found: Mapping[Modality, list[Candidate]],
) -> tuple[dict[Modality, list[Candidate]], list[tuple[SeriesFacts, str]]]:
    """Set aside what lies far from the brain: the spine of the same visit."""
    placed = [one for several in found.values() for one in several if len(one.facts.center_mm) == 3]
    brains = [one for one in placed if _shows_brain(one)] or placed
    if not brains:
        return dict(found), []
    middle = [median(one.facts.center_mm[axis] for one in brains) for axis in range(3)]
    frame = {one.facts.frame_of_reference for one in brains}
    kept: dict[Modality, list[Candidate]] = {}
    elsewhere = []
    for modality, several in found.items():
        for one in several:
            place = one.facts.center_mm
            apart = max(abs(a - b) for a, b in zip(place, middle, strict=True)) if len(place) == 3 else 0.0
            if apart > _ELSEWHERE_MM and one.facts.frame_of_reference in frame and one.reason != "chosen by number":
                why = f"it lies {apart:.0f} mm from the brain's images: another part of the body"
                elsewhere.append((one.facts, why))
            else:
                kept.setdefault(modality, []).append(one)
    return kept, elsewhere


def _shows_brain(one: Candidate) -> bool:
    words = " ".join([*one.facts.names, one.facts.body_part]).lower().replace("_", " ")
    return one.modality is Modality.FLAIR or bool(HEAD.search(words))
