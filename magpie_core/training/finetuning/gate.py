"""Whether a candidate may take over from the current model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

from magpie_core.errors import InputError
from magpie_core.evaluation.bootstrap import Interval, bootstrap_mean
from magpie_core.imaging.label_schema import Region

Scores = Mapping[str, Mapping[str, float]]
"""Dice by case and region."""


@dataclass(frozen=True)
class GateRules:
    """What a candidate must keep to.

    Attributes
    ----------
    least_gain
        The lower end of the gain's bootstrap interval must reach this.
    most_region_loss, most_sentinel_loss
        Greatest mean loss of Dice allowed for any region, and on the sentinel cases.
    level
        Of the interval.
    """

    least_gain: float = 0.0
    most_region_loss: float = 0.01
    most_sentinel_loss: float = 0.01
    level: float = 0.95


@dataclass(frozen=True)
class Verdict:
    """The gate's decision.

    Attributes
    ----------
    accepted
        Whether every rule holds.
    gain
        Mean gain of Dice over regions, paired by case, with its interval; None where a score is no number.
    region_gains
        The same per region.
    sentinel_gain
        Mean gain on the sentinel cases; None without any.
    sentences
        What improved, what got worse, and how sure that is; reasons of a refusal first.
    """

    accepted: bool
    gain: Interval | None
    region_gains: Mapping[str, Interval]
    sentinel_gain: float | None
    sentences: tuple[str, ...]


def judge(
    current: Scores,
    candidate: Scores,
    *,
    sentinel_current: Scores | None = None,
    sentinel_candidate: Scores | None = None,
    rules: GateRules | None = None,
) -> Verdict:
    """Compare two models on cases that neither of them trained on.

    Parameters
    ----------
    current, candidate
        Dice by case and region; the same cases and regions. Each model's scores come from weights that did not see
        the case (out of fold), or a second improvement would never pass.
    sentinel_current, sentinel_candidate
        The same on cases kept apart to notice forgetting.

    Raises
    ------
    InputError
        If the cases or regions differ, or there is none.
    """
    rules = rules or GateRules()
    sentinels = (sentinel_current or {}, sentinel_candidate or {})
    _check_pairs(current, candidate, "cases")
    if sentinels[0] or sentinels[1]:
        _check_pairs(*sentinels, "sentinel cases")
    names = sorted(current)
    regions = list(next(iter(current.values())))
    for scores in (current, candidate, *sentinels):
        if not all(math.isfinite(value) for rows in scores.values() for value in rows.values()):
            return Verdict(
                False, None, {}, None, ("Refused: a score is not a number; the weights are damaged.",)
            )
    differences = {
        region: [candidate[name][region] - current[name][region] for name in names] for region in regions
    }
    per_case = [mean(differences[region][index] for region in regions) for index in range(len(names))]
    gain = bootstrap_mean(per_case, level=rules.level)
    region_gains = {region: bootstrap_mean(differences[region], level=rules.level) for region in regions}
    sentinel_gain = None
    if sentinels[0]:
        sentinel_gain = mean(
            sentinels[1][name][region] - sentinels[0][name][region]
            for name in sentinels[0]
            for region in sentinels[0][name]
        )
    refusals = []
    if gain.low < rules.least_gain:
        refusals.append(
            f"Refused: not surely better. By {len(names)} cases the overlap (Dice) may change by "
            f"{_points(gain.low)} to {_points(gain.high)} of 100 points."
        )
    for region, interval in region_gains.items():
        if interval.mean < -rules.most_region_loss:
            refusals.append(f"Refused: {_name(region).lower()} loses {_points(-interval.mean)} points.")
    if sentinel_gain is not None and sentinel_gain < -rules.most_sentinel_loss:
        refusals.append(
            f"Refused: on the cases kept apart it loses {_points(-sentinel_gain)} points; it forgets what it knew."
        )
    return Verdict(
        not refusals,
        gain,
        region_gains,
        sentinel_gain,
        (*refusals, *_findings(gain, region_gains, sentinel_gain, per_case, names)),
    )


def _findings(
    gain: Interval,
    region_gains: Mapping[str, Interval],
    sentinel_gain: float | None,
    per_case: list[float],
    names: list[str],
) -> list[str]:
    better = sum(value > 0.005 for value in per_case)
    worse = sum(value < -0.005 for value in per_case)
    sentences = [
        f"Over all regions {_change(gain.mean)} ({_points(gain.low)} to {_points(gain.high)}, "
        f"interval over {gain.count} cases); {better} cases are better, {worse} worse.",
        *(f"{_name(region)}: {_change(interval.mean)}." for region, interval in region_gains.items()),
    ]
    if worse:
        index = min(range(len(per_case)), key=per_case.__getitem__)
        sentences.append(f"Worst case: {names[index]} loses {_points(-per_case[index])} points.")
    if sentinel_gain is not None:
        sentences.append(f"Cases kept apart: {_change(sentinel_gain)}.")
    return sentences


def _check_pairs(current: Scores, candidate: Scores, what: str) -> None:
    same = set(current) == set(candidate) and all(
        set(current[name]) == set(candidate[name]) for name in current
    )
    alike = len({frozenset(rows) for rows in current.values()}) == 1
    if not current or not same or not alike:
        raise InputError(
            f"The two models were not scored on the same {what}",
            cause=f"{len(current)} and {len(candidate)} of them",
            remedy="Score both on the same cases and regions",
        )


def _name(region: str) -> str:
    return Region(region).label


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def _change(value: float) -> str:
    return f"{_points(abs(value))} points {'gained' if value >= 0 else 'lost'}"
