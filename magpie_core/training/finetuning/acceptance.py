"""The acceptance test (gate): whether a fine-tuned candidate may replace the current model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from statistics import mean
from types import MappingProxyType
from typing import Any

from magpie_core.errors import InputError
from magpie_core.evaluation.paired_test import ERROR, LEAST_PAIRS, PairedChange, paired_change
from magpie_core.imaging.label_schema import Region

Scores = Mapping[str, Mapping[str, float]]
"""Dice by case and region."""
_NONE: Scores = MappingProxyType({})
_NOTABLE = 0.005  # change of a case's mean Dice that counts as better or worse
_MOST_REGION_LOSS = _MOST_FORGETTING = 0.01  # greatest mean loss of Dice of a region, and on the forgetting test set
_MOST_NAMED = 5  # cases that got worse


class Verdict(Enum):
    """What the acceptance test found; the value is the word for it."""

    BETTER = "Better"
    WORSE = "Worse"
    UNCHANGED = "Unchanged"
    CANNOT_TELL = "Cannot tell"


@dataclass(frozen=True)
class AcceptanceResult:
    """Result of the acceptance test.

    Attributes:
        dice_change: Mean change of Dice over regions, paired by patient; None where no case could be judged, or a score
            is not finite.
        forgetting_dice_change: Mean change of Dice on the forgetting test set; None without any.
        findings: The verdict with its figures, then each region, then the cases that got worse.
    """

    verdict: Verdict
    dice_change: PairedChange | None
    forgetting_dice_change: float | None
    findings: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether every criterion is fulfilled."""
        return self.verdict is Verdict.BETTER


def run_acceptance_test(
    current: Scores,
    candidate: Scores,
    *,
    patients: Mapping[str, str],
    names: Mapping[str, str] = MappingProxyType({}),
    is_copy: bool = False,
    forgetting_current: Scores = _NONE,
    forgetting_candidate: Scores = _NONE,
) -> AcceptanceResult:
    """Compare two models on cases that no ancestor of either was trained on.

    Args:
        current, candidate: Dice by case and region; the same cases and regions. Both come from weights that never saw
            the case, nor another one of its patient: of the current model those of the fold, too, or a second
            improvement would never be accepted, and a copy could be.
        patients: Patient of each case: patients are counted, not visits.
        names: How the site calls its cases, for the findings.
        is_copy: Whether the candidate's weights are those of the current model, which is no improvement.
        forgetting_current, forgetting_candidate: The same on the forgetting test set.

    Raises:
        InputError: If the cases or regions differ.
    """
    forgetting = (forgetting_current, forgetting_candidate)
    _check_pairs(current, candidate, "cases")
    _check_pairs(*forgetting, "cases of the forgetting test set")
    for scores in (current, candidate, *forgetting):
        if not all(math.isfinite(value) for rows in scores.values() for value in rows.values()):
            finding = "Worse: a score is not a number; the weights are damaged."
            return AcceptanceResult(Verdict.WORSE, None, None, (finding,))
    if not current:
        finding = "Cannot tell: the model in use was trained on every case. Add cases of other patients."
        return AcceptanceResult(Verdict.CANNOT_TELL, None, None, (finding,))
    regions = list(next(iter(current.values())))
    change = paired_change(_by_patient(current, candidate, regions, patients))
    by_region = {region: paired_change(_by_patient(current, candidate, [region], patients)) for region in regions}
    forgotten = _mean_dice(forgetting[1]) - _mean_dice(forgetting[0]) if forgetting[0] else None
    losses = [
        f"{Region(region).label.lower()} is worse ({one.mean:+.3f})"
        for region, one in by_region.items()
        if one.mean < -_MOST_REGION_LOSS
    ]
    if forgotten is not None and forgotten < -_MOST_FORGETTING:
        losses.append(f"the forgetting test set is worse ({forgotten:+.3f})")
    verdict, reason = _judge(change, losses, is_copy)
    findings = [
        f"{verdict.value}{reason}: mean Dice {_mean_dice(current):.3f} before, {_mean_dice(candidate):.3f} after, "
        f"{_interval(change)}.",
        *(
            f"{Region(region).label}: Dice {_mean_dice(current, [region]):.3f} before, "
            f"{_mean_dice(candidate, [region]):.3f} after, {_interval(one)}."
            for region, one in by_region.items()
        ),
        *_worse_cases(current, candidate, names),
    ]
    if forgotten is not None:
        findings.append(f"Forgetting test set: mean Dice change {_signed(forgotten)} ({len(forgetting[0])} cases).")
    return AcceptanceResult(verdict, change, forgotten, tuple(findings))


def summarize(result: AcceptanceResult, start: str, cases: int, current: Scores, candidate: Scores) -> dict[str, Any]:
    """Return what a list of versions shows, plain values without a name of a case.

    Args:
        start: Name of the starting model.
        cases: Number of cases that were trained on.
    """
    regions = list(next(iter(current.values()), {}))
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "start": start,
        "cases": cases,
        "patients": result.dice_change.count if result.dice_change else 0,
        "dice": {region: [_mean_dice(scores, [region]) for scores in (current, candidate)] for region in regions},
        "decision": result.verdict.value,
        "verdict": result.findings[0],
    }


def _judge(change: PairedChange, losses: list[str], is_copy: bool) -> tuple[Verdict, str]:
    """Return the verdict and the reason, which follows its word."""
    if is_copy:
        return Verdict.UNCHANGED, ", the weights are those of the model in use"
    if losses:
        return Verdict.WORSE, f", {' and '.join(losses)}"
    if change.is_loss:
        return Verdict.WORSE, ""
    if change.is_improvement:
        return Verdict.BETTER, ""
    if change.count < LEAST_PAIRS:
        return Verdict.CANNOT_TELL, f", {change.count} patients are too few (at least {LEAST_PAIRS})"
    return Verdict.CANNOT_TELL, ", the change may be chance"


def _by_patient(current: Scores, candidate: Scores, regions: list[str], patients: Mapping[str, str]) -> list[float]:
    """Return the mean change of each patient."""
    changes: dict[str, list[float]] = {}
    for case in sorted(current):
        changes.setdefault(patients[case], []).append(
            mean(candidate[case][region] - current[case][region] for region in regions)
        )
    return [mean(values) for values in changes.values()]


def _worse_cases(current: Scores, candidate: Scores, names: Mapping[str, str]) -> list[str]:
    changes = {case: mean(candidate[case][r] - current[case][r] for r in current[case]) for case in current}
    better = sum(change > _NOTABLE for change in changes.values())
    worse = sorted((case for case in changes if changes[case] < -_NOTABLE), key=changes.__getitem__)
    shown = ", ".join(f"{names.get(case, case)} ({changes[case]:+.3f})" for case in worse[:_MOST_NAMED])
    counts = f"Of {len(changes)} cases {better} got better and {len(worse)} worse by more than {_NOTABLE:g}"
    return [f"{counts}{': ' if worse else ''}{shown}{', ...' if len(worse) > _MOST_NAMED else ''}."]


def _mean_dice(scores: Scores, regions: list[str] | None = None) -> float:
    return float(mean(mean(rows[region] for region in regions or rows) for rows in scores.values()))


def _check_pairs(current: Scores, candidate: Scores, what: str) -> None:
    same = set(current) == set(candidate) and all(set(current[name]) == set(candidate[name]) for name in current)
    alike = len({frozenset(rows) for rows in current.values()}) <= 1
    if not same or not alike:
        raise InputError(
            f"The two models were not scored on the same {what}",
            cause=f"{len(current)} and {len(candidate)} of them",
            remedy="Score both on the same cases and regions",
        )


def _interval(change: PairedChange) -> str:
    if change.low is None or change.high is None:
        return f"change {_signed(change.mean)} (1 patient)"
    return (
        f"change {_signed(change.mean)} ({100 * (1 - 2 * ERROR):g} % CI {_signed(change.low)} to "
        f"{_signed(change.high)}, {change.count} patients)"
    )


def _signed(change: float) -> str:
    """Return a change with its sign; adding 0 turns a zero that is negative into one that is not."""
    return f"{round(change, 3) + 0.0:+.3f}"
