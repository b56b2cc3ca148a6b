"""Use case: rank studies by how much annotating them would help the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from magpie_core.app.requests import DEVICE, MODEL, ReadingOptions, StudyRequest
from magpie_core.app.session import Session
from magpie_core.errors import MagpieError
from magpie_core.progress import Progress, no_progress
from magpie_core.storage.ranges import FRACTION, SEED, check_ranges


@dataclass(frozen=True, kw_only=True)
class RankRequest(ReadingOptions):
    """Studies that are not annotated yet.

    Attributes:
        studies: A folder of each; or one folder with a subfolder for each.
    """

    studies: Path | tuple[Path, ...]
    cohort: Annotated[Path | None, "Cohort; studies that it holds already are left out."] = None
    model: Annotated[str | None, MODEL] = None
    device: Annotated[str, DEVICE] = "auto"
    random_fraction: Annotated[float, "Fraction of the ranks that are drawn at random, 0 to 1.", FRACTION] = 0.25
    seed: Annotated[int, "Random seed.", SEED] = 0

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class RankedStudy:
    """A study, "uncertain" or "random" for why it has its rank, and how uncertain the model is (0 to 1)."""

    folder: Path
    why: str
    uncertainty: float


@dataclass(frozen=True)
class RankResult:
    """Studies, the next to annotate first; and why others were left out."""

    studies: tuple[RankedStudy, ...]
    warnings: tuple[str, ...]


def rank(request: RankRequest, *, session: Session | None = None, progress: Progress = no_progress) -> RankResult:
    """Segment each study and rank them by uncertainty; what cannot be read is left out with a warning.

    Raises:
        ModelError: If there is no such model.
        InputError: If the random fraction is impossible, or the cohort cannot be read.
    """
    from magpie_core.cohort.cohort import Cohort
    from magpie_core.cohort.contents import case_of
    from magpie_core.imaging.background import fingerprint
    from magpie_core.inference.prediction import RoutingCapture
    from magpie_core.inference.segment import segment_study
    from magpie_core.inference.uncertainty import rank_studies, tumor_uncertainty

    session = session or Session()
    folders = request.studies
    if isinstance(folders, Path):
        folders = tuple(sorted(path for path in folders.iterdir() if path.is_dir() and path.name[0] != "."))
    model = session.models.get(request.model)
    known = [] if request.cohort is None else Cohort(request.cohort).cases()
    scores: dict[str, float] = {}
    warnings = []
    for index, folder in enumerate(folders):
        progress(index / len(folders), f"Study {index + 1} of {len(folders)}")
        try:
            study = StudyRequest(images=folder, **request.reading).read()
            if known and (case := case_of(map(fingerprint, study.volumes.values()), known)) is not None:
                warnings.append(f"Left out: {folder} is in the cohort already, as {case.name}")
                continue
            capture = RoutingCapture()
            prediction = segment_study(study, model, device=request.device, capture=capture)
            scores[str(folder)] = tumor_uncertainty(prediction, capture)
        except MagpieError as error:
            if error.exit_code == 130:
                raise
            warnings.append(f"Left out: {error}")
    ranked = rank_studies(scores, random_fraction=request.random_fraction, seed=request.seed)
    progress(1.0, "Done")
    studies = tuple(RankedStudy(Path(name), why, round(scores[name], 4)) for name, why in ranked)
    return RankResult(studies, tuple(warnings))
