"""What a preparation found, on disk: registrations and brain mask, to be applied to the same images again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from magpie_core.errors import MagpieError
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.study import Study
from magpie_core.imaging.volume import Volume
from magpie_core.io.nifti import read_volume, write_volume
from magpie_core.preprocessing.prepared_study import PreparedStudy, preparation_digest
from magpie_core.preprocessing.registration import Registration
from magpie_core.storage.atomic import write_bytes

_FIGURES = ("similarity", "sharpness", "gain", "agreement_mm")


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
