"""The acceptance test (gate): whether a fine-tuned candidate may replace the current model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from types import MappingProxyType

from magpie_core.errors import InputError
from magpie_core.evaluation.bootstrap import Interval, bootstrap_mean
from magpie_core.imaging.label_schema import Region

Scores = Mapping[str, Mapping[str, float]]
"""Dice by case and region."""
_NONE: Scores = MappingProxyType({})
_NOTABLE = 0.005  # change of a case's mean Dice that counts as better or worse
_LEVEL = 0.95  # confidence level of the bootstrap intervals; the lower end of the mean Dice change must not be below 0
_MOST_REGION_LOSS = _MOST_FORGETTING = 0.01  # greatest mean loss of Dice of a region, and on the forgetting test set


@dataclass(frozen=True)
class AcceptanceResult:
    """Result of the acceptance test.

    Attributes:
        accepted: Whether every criterion is fulfilled.
        dice_change: Mean change of Dice over regions, paired by case, with its interval; None where a score is not
            finite.
        forgetting_dice_change: Mean change of Dice on the forgetting test set; None without any.
        findings: What improved, what got worse, and how certain that is; reasons of a rejection first.
    """

    accepted: bool
    dice_change: Interval | None
    forgetting_dice_change: float | None
    findings: tuple[str, ...]


def run_acceptance_test(
    current: Scores, candidate: Scores, *, forgetting_current: Scores = _NONE, forgetting_candidate: Scores = _NONE
) -> AcceptanceResult:
    """Compare two models on cases that neither of them was trained on.

    Args:
        current, candidate: Dice by case and region; the same cases and regions. Each model's scores come from weights
            that were not trained on the case (out of fold), or a second improvement would never be accepted.
        forgetting_current, forgetting_candidate: The same on the forgetting test set.

    Raises:
        InputError: If the cases or regions differ, or there is none.
    """
    forgetting = (forgetting_current, forgetting_candidate)
    _check_pairs(current, candidate, "cases")
    if forgetting[0] or forgetting[1]:
        _check_pairs(*forgetting, "cases of the forgetting test set")
    for scores in (current, candidate, *forgetting):
        if not all(math.isfinite(value) for rows in scores.values() for value in rows.values()):
            return AcceptanceResult(False, None, None, ("Rejected: a score is not a number; the weights are damaged.",))
    names, regions = sorted(current), list(next(iter(current.values())))
    changes = {region: [candidate[name][region] - current[name][region] for name in names] for region in regions}
    case_changes = {name: mean(changes[region][index] for region in regions) for index, name in enumerate(names)}
    dice_change = bootstrap_mean(list(case_changes.values()), level=_LEVEL)
    region_change = {region: bootstrap_mean(changes[region], level=_LEVEL) for region in regions}
    forgetting_change = None
    if forgetting[0]:
        forgetting_change = mean(
            forgetting[1][name][region] - forgetting[0][name][region]
            for name in forgetting[0]
            for region in forgetting[0][name]
        )
    rejections = []
    if dice_change.low < 0:
        rejections.append(f"Rejected, not certainly better: {_interval(dice_change)}.")
    rejections += [
        f"Rejected, {Region(region).label.lower()} is worse: {_interval(interval)}."
        for region, interval in region_change.items()
        if interval.mean < -_MOST_REGION_LOSS
    ]
    if forgetting_change is not None and forgetting_change < -_MOST_FORGETTING:
        rejections.append(f"Rejected, worse on the forgetting test set: mean Dice change {forgetting_change:+.3f}.")
    better, worse = (sum(sign * value > _NOTABLE for value in case_changes.values()) for sign in (1, -1))
    findings = [
        f"All regions: {_interval(dice_change)}; {better} better, {worse} worse by more than {_NOTABLE:g}.",
        *(f"{Region(region).label}: {_interval(interval)}." for region, interval in region_change.items()),
    ]
    worst = min(case_changes, key=case_changes.__getitem__)
    if case_changes[worst] < -_NOTABLE:
        findings.append(f"Worst case: {worst}, Dice change {case_changes[worst]:+.3f}.")
    if forgetting_change is not None:
        findings.append(f"Forgetting test set: mean Dice change {forgetting_change:+.3f}.")
    return AcceptanceResult(not rejections, dice_change, forgetting_change, (*rejections, *findings))


def _check_pairs(current: Scores, candidate: Scores, what: str) -> None:
    same = set(current) == set(candidate) and all(set(current[name]) == set(candidate[name]) for name in current)
    alike = len({frozenset(rows) for rows in current.values()}) == 1
    if not current or not same or not alike:
        raise InputError(
            f"The two models were not scored on the same {what}",
            cause=f"{len(current)} and {len(candidate)} of them",
            remedy="Score both on the same cases and regions",
        )


def _interval(change: Interval) -> str:
    return (
        f"mean Dice change {change.mean:+.3f} ({100 * _LEVEL:g} % CI {change.low:+.3f} to {change.high:+.3f}, "
        f"{change.count} cases)"
    )
