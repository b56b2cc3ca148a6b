"""Whether images look like the modalities they are said to be."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations, permutations

import numpy as np

from magpie_core.imaging.modality import GLIOMA_MODALITIES, Modality
from magpie_core.preprocessing.contrast_features import GRAY_VALUE_FEATURES, CoarseStudy
from magpie_core.preprocessing.model_grid import ModelGridStudy

_EXCHANGED = 0.5  # log-odds from which images are said to be exchanged
_T2_LIKE = 2.0  # log-odds from which a T1 or T1CE has the contrast of a T2, or the other way round
_SAME_IMAGE = 0.8  # explained variance; synthetic modalities of different contrast reach 0.67, most repeats exceed 0.8
# Log-odds of enhancement: native below the first, enhanced above the second, not judged between. About the 2nd
# percentile of enhanced and the 97th of native synthetic images; by itself no image is enhanced for certain.
_BESIDE_T2_AND_FLAIR = (-0.5, 0.5)
_BY_ITSELF = (-1.5, math.inf)
_T1_ENHANCED = 3.0  # log-odds from which a T1 is doubted, the lesser fault: enhancing tumor is not invented
_T1_LIKE = (Modality.T1, Modality.T1CE)


@dataclass(frozen=True)
class ModalityDoubt:
    """An image that does not look like the modality it was given as.

    Attributes:
        given: The modality it was given as.
        looks_like: The modality it looks like; None if that cannot be judged.
        evidence: What was seen and what to check, for a radiologist.
        score: Log-odds that it is not what it was given as.
        exchanged: Whether another image of the study looks like `given`, so that exchanging them would help.
    """

    given: Modality
    looks_like: Modality | None
    evidence: str
    score: float
    exchanged: bool = False

    def as_dict(self) -> dict[str, object]:
        """Return plain values for the report."""
        return {
            "given": self.given.value,
            "looks_like": self.looks_like.value if self.looks_like else None,
            "evidence": self.evidence,
            "score": round(self.score, 2),
            "exchanged": self.exchanged,
        }


@dataclass(frozen=True, eq=False)
class Rules:
    """Linear rules, learned from synthetic studies alone; the last weight of looks and enhancement is a constant.

    Attributes:
        pairs: Log-odds that two images are not exchanged, without a constant.
        looks: Score of each modality for a single image.
        enhancement: Log-odds that an image shows enhancement, by the modalities it is compared with: the T1, or T2 and
            FLAIR.
    """

    pairs: Mapping[tuple[Modality, Modality], np.ndarray]
    looks: Mapping[Modality, np.ndarray]
    enhancement: Mapping[tuple[Modality, ...], np.ndarray]

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        pairs = [
            {"first": one, "second": other, "weights": _rounded(weights)}
            for (one, other), weights in self.pairs.items()
        ]
        looks = {modality: _rounded(weights) for modality, weights in self.looks.items()}
        enhancement = [
            {"against": list(plain), "weights": _rounded(weights)} for plain, weights in self.enhancement.items()
        ]
        return {"pairs": pairs, "looks": looks, "enhancement": enhancement}


def check_modalities(grid: ModelGridStudy, rules: Rules | None = None) -> tuple[ModalityDoubt, ...]:
    """Doubt the images that do not look like the modalities they were given as; nothing is ever changed.

    1. Every other way to assign the modalities to the images is compared with the declared one.
    2. No two modalities of different contrast may be one image, and a T1, with contrast or without, may not look like
       a T2.
    3. The T1CE must show enhancement against the T1; without a T1, against what T2 and FLAIR predict; without these,
       what stands out on it alone is judged, which is less sure.

    Args:
        rules: Those that come with MAGPIE by default.

    Returns:
        tuple of ModalityDoubt: Empty if nothing is doubted, or there is too little to judge by.
    """
    rules = rules or default_rules()
    study = CoarseStudy.of(grid)
    looks = {modality: study.look(modality) for modality in study.images}
    scores = {
        modality: {seen: float(np.append(look, 1.0) @ weights) for seen, weights in rules.looks.items()}
        for modality, look in looks.items()
    }
    for doubts in (_repeated(study, scores), _exchanges(study, looks, rules), _other_contrasts(scores)):
        if found := tuple(doubts):
            return found
    return tuple(_enhancement(study, scores, rules))


def pair_features(
    study: CoarseStudy, looks: Mapping[Modality, np.ndarray]
) -> dict[tuple[Modality, Modality], np.ndarray]:
    """What tells two images apart, for every pair; negated if the images are exchanged."""
    return {
        (one, other): np.concatenate([(looks[one] - looks[other])[:GRAY_VALUE_FEATURES], study.difference(one, other)])
        for one, other in combinations(sorted(looks, key=GLIOMA_MODALITIES.index), 2)
    }


@cache
def default_rules() -> Rules:
    """Return the rules that come with MAGPIE; `benchmarks/modality_check.py --fit` makes them."""
    text = files("magpie_core.preprocessing").joinpath("modality_check.json").read_text(encoding="utf-8")
    made = json.loads(text)
    return Rules(
        {(Modality(row["first"]), Modality(row["second"])): np.array(row["weights"]) for row in made["pairs"]},
        {Modality(name): np.array(weights) for name, weights in made["looks"].items()},
        {tuple(map(Modality, row["against"])): np.array(row["weights"]) for row in made["enhancement"]},
    )


def _exchanges(study: CoarseStudy, looks: Mapping[Modality, np.ndarray], rules: Rules) -> Iterator[ModalityDoubt]:
    """Doubt all images that go better with each other's modalities."""
    features = pair_features(study, looks)
    known = tuple(sorted(looks, key=GLIOMA_MODALITIES.index))
    if len(known) < 2:
        return

    def odds(assigned: tuple[Modality, ...]) -> float:
        total = 0.0
        for (one, other), values in features.items():
            first, second = assigned[known.index(one)], assigned[known.index(other)]
            sign = 1 if (first, second) in rules.pairs else -1
            total += sign * float(values @ rules.pairs[(first, second) if sign > 0 else (second, first)])
        return total

    best = max(permutations(known), key=odds)
    gap = odds(best) - odds(known)
    likely = {given: seen for given, seen in zip(known, best, strict=True) if given is not seen}
    if not likely or gap < _EXCHANGED or ({*likely} == {*_T1_LIKE} and _neither_enhanced(study, rules)):
        return
    yield from _exchange(likely, gap)


def _exchange(likely: Mapping[Modality, Modality], gap: float) -> Iterator[ModalityDoubt]:
    """Doubt each of several images that were given as one another's modality."""
    if len(likely) == 2:
        first, second = likely
        sentence = f"{first.label} and {second.label} look as if they were exchanged. "
        sentence += "Please check which image is which; nothing was changed."
    else:
        words = ", ".join(f"{given.label} looks like {seen.label}" for given, seen in likely.items())
        sentence = f"The modalities look as if they were mixed up: {words}. Please check; nothing was changed."
    for given, seen in likely.items():
        yield ModalityDoubt(given, seen, sentence, gap, exchanged=True)


def _repeated(study: CoarseStudy, scores: Mapping[Modality, Mapping[Modality, float]]) -> Iterator[ModalityDoubt]:
    """Doubt one of two images that are the same up to noise, resolution and gray values."""
    for one, other in combinations(scores, 2):
        if {one, other} == {*_T1_LIKE} or study.similarity(one, other) < _SAME_IMAGE:
            continue
        gap = sum(scores[given][one] - scores[given][other] for given in (one, other))
        given, seen = (other, one) if gap > 0 else (one, other)
        evidence = (
            f"The {one.label} and the {other.label} seem to be one image, but for noise, resolution or gray values: is "
            f"the {given.label} a {seen.label}?"
        )
        yield ModalityDoubt(given, seen, evidence, abs(gap))


def _other_contrasts(scores: Mapping[Modality, Mapping[Modality, float]]) -> Iterator[ModalityDoubt]:
    """Doubt a T1 or T1CE with the contrast of a T2, and the other way round; a single FLAIR is too like a T1."""
    for given, row in scores.items():
        likely = max(_T1_LIKE, key=lambda modality: row[modality])
        score = row[Modality.T2] - row[likely]
        if given in _T1_LIKE and score > _T2_LIKE:
            evidence = f"The {given.label} has the gray values of a T2: is it the right image?"
            yield ModalityDoubt(given, Modality.T2, evidence, score)
        if given is Modality.T2 and -score > _T2_LIKE:
            evidence = f"The T2 has the gray values of a {likely.label}: is it the right image?"
            yield ModalityDoubt(given, likely, evidence, -score)


def _enhancement(
    study: CoarseStudy, scores: Mapping[Modality, Mapping[Modality, float]], rules: Rules
) -> Iterator[ModalityDoubt]:
    """Doubt a T1CE that shows no enhancement, and a T1 that does."""
    plain, contrasted = Modality.T1.label, Modality.T1CE.label
    against = _against(study, (Modality.T1,), Modality.T1CE, rules)
    if against is not None and against >= 0:
        return
    shown = {given: _uptake(study, given, row, rules) for given, row in scores.items() if given in _T1_LIKE}
    if against is not None:
        reverse = _against(study, (Modality.T1CE,), Modality.T1, rules)
        if reverse is not None and reverse > 0:
            exchanged = {Modality.T1: Modality.T1CE, Modality.T1CE: Modality.T1}
            yield from _exchange(exchanged, reverse - against)
        elif min(score for score, _ in shown.values()) > _T1_ENHANCED:
            evidence = f"The {plain} looks enhanced, as the {contrasted} does: are both images after contrast?"
            yield ModalityDoubt(Modality.T1, Modality.T1CE, evidence, -against)
        else:
            evidence = (
                f"The {contrasted} shows no enhancement of vessels, meninges or choroid plexus against the {plain}: "
                "is it the image before contrast?"
            )
            yield ModalityDoubt(Modality.T1CE, Modality.T1, evidence, -against)
    elif Modality.T1CE in shown:
        score, (native, enhanced) = shown[Modality.T1CE]
        if score < native:
            evidence = f"The {contrasted} shows no enhanced vessels or meninges: is it an image before contrast?"
            yield ModalityDoubt(Modality.T1CE, Modality.T1, evidence, -score)
        elif score < enhanced:
            evidence = f"Whether the {contrasted} was taken after contrast cannot be judged without a {plain}."
            yield ModalityDoubt(Modality.T1CE, None, evidence, -score)
    elif Modality.T1 in shown:
        score, _ = shown[Modality.T1]
        if score > _T1_ENHANCED:
            evidence = f"The {plain} shows enhanced vessels or meninges: is it an image after contrast ({contrasted})?"
            yield ModalityDoubt(Modality.T1, Modality.T1CE, evidence, score)


def _uptake(
    study: CoarseStudy, given: Modality, row: Mapping[Modality, float], rules: Rules
) -> tuple[float, tuple[float, float]]:
    """Log-odds that a T1 or T1CE is enhanced, by T2 and FLAIR if the study has both, else by itself; their limits."""
    against = _against(study, (Modality.T2, Modality.FLAIR), given, rules)
    if against is None:
        return row[Modality.T1CE] - row[Modality.T1], _BY_ITSELF
    return against, _BESIDE_T2_AND_FLAIR


def _against(study: CoarseStudy, plain: tuple[Modality, ...], given: Modality, rules: Rules) -> float | None:
    """Log-odds that an image shows enhancement against others; None if one is missing or hardly overlaps."""
    if not {*plain, given} <= set(study.images):
        return None
    features = study.enhancement(plain, given)
    weights = rules.enhancement[(Modality.T1,) if len(plain) == 1 else plain]
    return None if features is None else float(np.append(features, 1.0) @ weights)


def _neither_enhanced(study: CoarseStudy, rules: Rules) -> bool:
    """Whether neither of T1 and T1CE shows enhancement against the other: then exchanging them would not help."""
    return all((_against(study, (plain,), given, rules) or 0.0) < 0 for plain, given in (_T1_LIKE, _T1_LIKE[::-1]))


def _rounded(weights: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in weights]
