"""Names for experts, where the evidence holds."""

from __future__ import annotations

from collections.abc import Iterable

from magpie_core.experts.agreement import Agreement

_LEAST_IOU = 0.4
_LEAST_GAIN = 0.15


def suggest_names(rows: Iterable[Agreement]) -> dict[int, str]:
    """The region that an expert of this study may be named after, by the expert's number (from 0).

    Judged in the tumor's box, where background does not outweigh everything: an expert is named after the region that
    it fits best of all experts, if they overlap by an IoU of 0.4 or more, and by 0.15 more than the control. Of several
    such regions it is the one that exceeds its control by most. Most experts have none.
    """
    surest: dict[int, Agreement] = {}
    for row in rows:
        if row.where == "box" and row.iou >= _LEAST_IOU and _gain(row) >= _LEAST_GAIN:
            known = surest.get(row.expert)
            surest[row.expert] = row if known is None or _gain(row) > _gain(known) else known
    return {expert: surest[expert].region for expert in sorted(surest)}


def _gain(row: Agreement) -> float:
    return row.iou - row.control
