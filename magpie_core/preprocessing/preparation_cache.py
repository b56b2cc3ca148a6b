"""Studies that were prepared before: the last ones in memory, and any in a folder."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from magpie_core.imaging.study import Study
from magpie_core.preprocessing.preparation_record import read_preparation, recorded_digest, write_preparation
from magpie_core.preprocessing.prepared_study import (
    OWN_BRAIN_EXTRACTION,
    PreparedStudy,
    preparation_digest,
    prepare_study,
)
from magpie_core.progress import Progress, no_progress


class PreparationCache:
    """Prepares a study once, whoever asks: it is known by the digest of its images and the method.

    Args:
        folder: Where the records are kept too, so that they outlive the process; None for memory alone.
        records: Records that lie elsewhere, such as those of a cohort's cases.
        capacity: Prepared studies that are kept in memory, the latest used ones (LRU).
    """

    def __init__(self, folder: Path | None = None, *, records: Iterable[Path] = (), capacity: int = 2) -> None:
        self._folder = folder
        self._records = {digest: path for path in records if (digest := recorded_digest(path)) is not None}
        self._capacity = capacity
        self._prepared: OrderedDict[str, PreparedStudy] = OrderedDict()

    def prepare(
        self,
        study: Study,
        *,
        brain_extraction: str = OWN_BRAIN_EXTRACTION,
        threads: int | None = None,
        progress: Progress = no_progress,
    ) -> PreparedStudy:
        """Return the study prepared: from memory, from its record, or by `prepare_study`, whose errors it raises."""
        digest = preparation_digest(study, brain_extraction)
        prepared = self._prepared.pop(digest, None)
        for path in (self._records.get(digest), self._own_record(digest)):
            if prepared is None and path is not None:
                prepared = read_preparation(path, study, brain_extraction=brain_extraction)
        if prepared is None:
            prepared = prepare_study(study, brain_extraction=brain_extraction, threads=threads, progress=progress)
            path = self._own_record(digest)
            if path is not None and prepared.changed:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_preparation(prepared, path, path.with_name(f"{digest}_brain.nii.gz"))
        self._prepared[digest] = prepared
        while len(self._prepared) > self._capacity:
            self._prepared.popitem(last=False)
        return prepared

    def _own_record(self, digest: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{digest}.json"
