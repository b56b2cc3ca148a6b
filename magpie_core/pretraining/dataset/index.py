"""The index of a pretraining dataset: what became of each study, and where it came from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from magpie_core.storage.json_lines import append_json_line, read_json_lines

READY, REFUSED, EXCLUDED, DUPLICATE = "ready", "refused", "excluded", "duplicate"


@dataclass(frozen=True)
class StudyRecord:
    """One study of a dataset.

    Attributes:
        key: Identity of the study: a hash of its files' paths.
        files: Path of each modality's file, by name, with its size in bytes and time of last change in ns (-1 if
            missing).
        state: "ready", or why it is not used: "refused" (faulty), "excluded" (on the list of exclusions) or
            "duplicate".
        packed: Key of the packed sample; it follows from the images and the dataset's configuration.
        shape: Size of the sample in voxels (D, H, W).
        problems: What was left out and why, as errors' plain values.
    """

    key: str
    subject: str
    session: str
    files: Mapping[str, tuple[str, int, int]]
    state: str = READY
    packed: str = ""
    modalities: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    seconds: float = 0.0
    problems: tuple[Mapping[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of the packed sample in bytes."""
        return math.prod(self.shape) * (len(self.modalities) + 1)

    @property
    def first_file(self) -> str:
        """Path of the first file."""
        return next(iter(self.files.values()))[0]

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> StudyRecord:
        """Build a record from a line of the index; KeyError or TypeError if a key is missing."""
        known = {item.name for item in fields(cls)}
        kept: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if key in known
        }
        kept["files"] = {name: (str(path), int(size), int(time)) for name, (path, size, time) in kept["files"].items()}
        return cls(**kept)


class DatasetIndex:
    """The records of a dataset, a JSON line each; the last line of a study is valid, one torn by a kill is skipped."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.records: dict[str, StudyRecord] = {}
        for line in read_json_lines(self.path):
            try:
                record = StudyRecord.from_dict(line)
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
            self.records[record.key] = record

    def add(self, record: StudyRecord) -> None:
        """Append a record, flushed to the disk (ResourceError if it cannot be written)."""
        append_json_line(self.path, asdict(record))  # ASCII: names of files need not be text
        self.records[record.key] = record

    def ready(self) -> list[StudyRecord]:
        """Return the studies in use, in an order that depends on them alone."""
        return sorted((record for record in self.records.values() if record.state == READY), key=lambda r: r.key)
