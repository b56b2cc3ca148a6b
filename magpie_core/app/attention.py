"""Use case: show where the network's attention samples from a place of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from magpie_core.app.requests import ComputeRequest
from magpie_core.app.session import Session
from magpie_core.progress import Progress, no_progress, part_of

if TYPE_CHECKING:
    from magpie_core.experts.attention import AttentionPoint


@dataclass(frozen=True, kw_only=True)
class AttentionRequest(ComputeRequest):
    """A study, and a place in it: right, anterior, superior in mm."""

    at: tuple[float, float, float]


@dataclass(frozen=True)
class AttentionResult:
    """The sampling points of every attention part of the network."""

    points: tuple[AttentionPoint, ...]


def attention(
    request: AttentionRequest, *, session: Session | None = None, progress: Progress = no_progress
) -> AttentionResult:
    """Sample the attention from the token at a place, as `attention_points` does; the study is read and prepared."""
    from magpie_core.experts.attention import attention_points, check_attention
    from magpie_core.inference.segment import prepare_for

    session = session or Session()
    model = session.models.get(request.model)
    check_attention(model)
    progress(0.0, "Reading the images")
    study = request.read()
    prepared = prepare_for(
        model,
        study,
        brain_extraction=request.brain_extraction,
        preparations=session.preparations,
        threads=request.threads,
        progress=part_of(progress, 0.05, 0.6),
    )
    grid = prepared.on_model_grid(model.description.spacing_mm)
    progress(0.6, "Sampling the attention")
    points = attention_points(model, grid, request.at, device=request.device, threads=request.threads)
    progress(1.0, "Done")
    return AttentionResult(tuple(points))
