"""Use case: segment the glioma of a study."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from magpie_core.app.requests import ComputeRequest
from magpie_core.app.session import Session
from magpie_core.progress import Progress, no_progress, part_of
from magpie_core.storage.atomic import refuse_existing

if TYPE_CHECKING:
    from magpie_core.imaging.segmentation import Segmentation
    from magpie_core.imaging.study import Study
    from magpie_core.inference.prediction import Prediction, RoutingCapture


@dataclass(frozen=True, kw_only=True)
class SegmentRequest(ComputeRequest):
    """A study to segment.

    Attributes:
        output: Folder for the files of the result; None to write none.
    """

    output: Path | None = None
    overwrite: Annotated[bool, "Replace an earlier result."] = False


@dataclass(frozen=True, eq=False)
class SegmentResult:
    """A segmented study.

    Attributes:
        prediction: Segmentation, probabilities, and how they came about.
        report: What report.json holds: the same from every front end.
        files: What was written: "segmentation", "report", and "preparation" and "overview" where drawn.
    """

    study: str
    prediction: Prediction
    report: Mapping[str, Any]
    files: Mapping[str, Path]

    @property
    def segmentation(self) -> Segmentation:
        """The label map, on the native grid of the reference."""
        return self.prediction.segmentation

    @property
    def volumes_ml(self) -> Mapping[str, float]:
        """Volume of each tissue and region, by "NCR", "ED", "ET", "TC", "WT"."""
        return dict(self.report["volumes_ml"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the result must know."""
        return self.prediction.warnings


def segment(
    request: SegmentRequest, *, session: Session | None = None, progress: Progress = no_progress
) -> SegmentResult:
    """Read, segment, and write one study.

    Raises:
        InputError: If the study cannot be read or segmented, or the output folder holds a result.
        ModelError: If there is no such model, or it does not verify.
        ResourceError: If memory, disk or a package is lacking.
        Cancelled: If `progress` raises it; then nothing is left behind.
    """
    from magpie_core.report.write import RESULT_FILES, build_report, write_results

    session = session or Session()
    if request.output is not None and not request.overwrite:
        refuse_existing(request.output, RESULT_FILES)
    progress(0.0, "Reading the images")
    start = time.perf_counter()
    study = request.read()
    read_s = time.perf_counter() - start
    progress(0.04, "Loading the model")
    prediction = predict(request, study, session, progress=part_of(progress, 0.08, 0.92))
    prediction = replace(prediction, seconds={"read": round(read_s, 3), **prediction.seconds})
    report = build_report(study, prediction)
    files: dict[str, Path] = {}
    if request.output is not None:
        progress(0.92, "Writing the result")
        files = write_results(report, prediction, request.output, overwrite=request.overwrite)
    progress(1.0, "Done")
    return SegmentResult(study.name, prediction, report, files)


def draw_overview(result: SegmentResult) -> SegmentResult:
    """Draw the overview of a written result beside its files: a step of its own, as the numbers need not wait for it.

    Raises:
        ResourceError: If it cannot be written.
    """
    from magpie_core.report.overview import draw_overview as draw
    from magpie_core.report.write import OVERVIEW

    overview = result.files["report"].with_name(OVERVIEW)
    doubts = [doubt.evidence for doubt in result.prediction.doubts]
    draw(result.prediction.prepared.study, result.segmentation, overview, doubts=doubts)
    return replace(result, files={**result.files, "overview": overview})


def predict(
    request: ComputeRequest,
    study: Study,
    session: Session,
    *,
    progress: Progress,
    capture: RoutingCapture | None = None,
) -> Prediction:
    """Segment a study as a request wants it; see `segment_study`."""
    from magpie_core.inference.segment import segment_study

    return segment_study(
        study,
        session.models.get(request.model),
        device=request.device,
        precision=request.precision,
        threads=request.threads,
        brain_extraction=request.brain_extraction,
        preparations=session.preparations,
        progress=progress,
        capture=capture,
    )
