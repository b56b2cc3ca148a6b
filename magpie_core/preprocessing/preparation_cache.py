"""Studies that were prepared before: the last ones in memory, any as a record of registrations and brain mask."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from magpie_core.errors import MagpieError
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_volume, write_volume
from magpie_core.preprocessing.prepared_study import (
    BUILT_IN_BRAIN_EXTRACTION,
    PreparedStudy,
    preparation_digest,
    prepare_study,
)
from magpie_core.preprocessing.registration import Registration
from magpie_core.progress import Progress, no_progress
from magpie_core.storage.atomic import write_bytes

_FIGURES = ("similarity", "sharpness", "gain", "agreement_mm")


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
        brain_extraction: str = BUILT_IN_BRAIN_EXTRACTION,
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


def write_preparation(prepared: PreparedStudy, record: Path, brain: Path) -> None:
    """Write what was found to a JSON file and, if the brain was extracted, its mask to a NIfTI file.

    Raises:
        ResourceError: If a file cannot be written.
    """
    if prepared.brain is not None:
        write_volume(Volume(prepared.brain.data.astype(np.uint8), prepared.brain.affine), brain)
    values = {
        "digest": prepared.digest,
        "brain_extraction": prepared.brain_extraction,
        "brain": None if prepared.brain is None else brain.name,
        "registrations": {
            modality.value: {name: getattr(found, name) for name in _FIGURES}
            | {"matrix": found.matrix.tolist(), "center_mm": list(found.center_mm)}
            for modality, found in prepared.registrations.items()
        },
        "warnings": list(prepared.warnings),
    }
    write_bytes(record, (json.dumps(values, indent=2) + "\n").encode())


def read_preparation(record: Path, study: Study, *, brain_extraction: str | None = None) -> PreparedStudy | None:
    """Apply what was found before to the same images; None if there is no such record, or it is of other images.

    Args:
        brain_extraction: Method that is wanted; the record's by default.
    """
    try:
        values = json.loads(record.read_text(encoding="utf-8"))
        method = str(values["brain_extraction"])
        if method != (brain_extraction or method) or values["digest"] != preparation_digest(study, method):
            return None
        registrations = {Modality(name): _registration(found) for name, found in values["registrations"].items()}
        brain = None
        if values["brain"] is not None:
            mask = read_volume(record.with_name(values["brain"]))
            brain = Volume(np.asarray(mask.data) > 0.5, mask.affine, study.volumes[study.reference].source)
        warnings = tuple(map(str, values["warnings"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MagpieError):
        return None
    volumes = {
        modality: Volume(volume.data, registrations[modality].matrix @ volume.affine, volume.source, volume.warnings)
        if modality in registrations
        else volume
        for modality, volume in study.volumes.items()
    }
    moved = Study(volumes, study.name, study.warnings)
    return PreparedStudy(moved, brain, registrations, method, warnings, values["digest"])


def recorded_digest(record: Path) -> str | None:
    """Return the digest of the images that a record is of; None if it cannot be read."""
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _registration(found: Mapping[str, Any]) -> Registration:
    right, anterior, superior = found["center_mm"]
    return Registration(
        matrix=np.array(found["matrix"], dtype=np.float64),
        center_mm=(float(right), float(anterior), float(superior)),
        **{name: float(found[name]) for name in _FIGURES},
    )
