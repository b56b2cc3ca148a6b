"""The use cases as Python functions: plain arguments in, results with typed fields out.

Options are the fields of the request named in each docstring, such as `device="cpu"` or `output="result/"`. What cannot
be done raises MagpieError, whose message says why and what to do; more in `magpie_core.app`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from magpie_core.app.add_case import AddCaseRequest, AddCaseResult, add_case as _add_case
from magpie_core.app.attention import AttentionRequest, AttentionResult, attention as _attention
from magpie_core.app.batch import BatchRequest, BatchResult, batch as _batch
from magpie_core.app.evaluate import EvaluateRequest, EvaluateResult, evaluate as _evaluate
from magpie_core.app.explain import ExplainRequest, ExplainResult, explain as _explain
from magpie_core.app.finetune import FinetuneOutcome, FinetuneRequest, finetune as _finetune
from magpie_core.app.rank import RankRequest, RankResult, rank as _rank
from magpie_core.app.requests import build_request
from magpie_core.app.sample import SampleRequest, SampleResult, sample as _sample
from magpie_core.app.segment import SegmentRequest, SegmentResult, draw_overview, segment as _segment
from magpie_core.app.session import Session
from magpie_core.imaging.modality import Modality
from magpie_core.progress import Progress, no_progress

__all__ = ["Session", "add_case", "attention", "batch", "evaluate", "explain", "finetune", "rank", "sample", "segment"]

Images = str | Path | Mapping[str, str | Path] | Mapping[Modality, str | Path]
"""A folder, a zip file of DICOM, one file, or a file or folder for each modality: {"T1CE": "t1ce.nii.gz", ...}."""


def segment(
    images: Images, *, session: Session | None = None, progress: Progress = no_progress, **options: Any
) -> SegmentResult:
    """Segment the glioma of a study; options are those of `SegmentRequest`.

    Give the same `session` for several studies, so that the model is loaded once.
    """
    request = build_request(SegmentRequest, images=images, **options)
    result = _segment(request, session=session, progress=progress)
    return result if request.output is None else draw_overview(result)


def batch(
    worklist: str | Path, output: str | Path, *, session: Session | None = None,
    progress: Progress = no_progress, **options: Any,
) -> BatchResult:  # fmt: skip
    """Segment every study of a folder or CSV file; options are those of `SegmentRequest`, and `retry`."""
    retry = bool(options.pop("retry", False))
    template = {"images": {}, **options}
    request = build_request(BatchRequest, worklist=worklist, output=output, retry=retry, options=template)
    return _batch(request, session=session, progress=progress)


def rank(
    *studies: str | Path, session: Session | None = None, progress: Progress = no_progress, **options: Any
) -> RankResult:
    """Rank studies by how much annotating them would help; options are those of `RankRequest`."""
    request = build_request(RankRequest, studies=tuple(map(Path, studies)), **options)
    return _rank(request, session=session, progress=progress)


def explain(
    images: Images, *, session: Session | None = None, progress: Progress = no_progress, **options: Any
) -> ExplainResult:
    """Map what each expert of the network responded to; options are those of `ExplainRequest`."""
    request = build_request(ExplainRequest, images=images, **options)
    return _explain(request, session=session, progress=progress)


def attention(
    images: Images, at: tuple[float, float, float], *, session: Session | None = None,
    progress: Progress = no_progress, **options: Any,
) -> AttentionResult:  # fmt: skip
    """Sample the attention from a place (right, anterior, superior; mm); options are those of `AttentionRequest`."""
    request = build_request(AttentionRequest, images=images, at=at, **options)
    return _attention(request, session=session, progress=progress)


def add_case(
    cohort: str | Path, images: Images, labels: str | Path, *, patient: str,
    session: Session | None = None, progress: Progress = no_progress, **options: Any,
) -> AddCaseResult:  # fmt: skip
    """Add a corrected study to a cohort, which is made if need be; options are those of `AddCaseRequest`."""
    request = build_request(AddCaseRequest, cohort=cohort, images=images, labels=labels, patient=patient, **options)
    return _add_case(request, session=session, progress=progress)


def finetune(
    cohort: str | Path, run: str | Path, *, progress: Progress = no_progress, **options: Any
) -> FinetuneOutcome:
    """Fine-tune the model in use on a cohort; options are those of `FinetuneRequest`."""
    return _finetune(build_request(FinetuneRequest, cohort=cohort, run=run, **options), progress=progress)


def sample(output: str | Path, *, progress: Progress = no_progress, **options: Any) -> SampleResult:
    """Make a synthetic study; options are those of `SampleRequest`."""
    return _sample(build_request(SampleRequest, output=output, **options), progress=progress)


def evaluate(
    predictions: str | Path, references: str | Path, *, progress: Progress = no_progress, **options: Any
) -> EvaluateResult:
    """Score segmentations against reference segmentations; options are those of `EvaluateRequest`."""
    request = build_request(EvaluateRequest, predictions=predictions, references=references, **options)
    return _evaluate(request, progress=progress)
