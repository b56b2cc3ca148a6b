"""What a corpus knows of each study: what became of it, and where it came from."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from magpie_core.errors import ResourceError

READY, REFUSED, EXCLUDED, DUPLICATE = "ready", "refused", "excluded", "duplicate"


@dataclass(frozen=True)
class StudyRecord:
    """One study of a corpus.

    Attributes
    ----------
    key
        Identity of the study: a hash of its files' places.
    subject, session
        Whose it is, and from which visit.
    files
        Path of each modality's file, by name, with its size in bytes and time of last change in ns (-1 if missing).
    state
        "ready", or why it is not used: "refused" (faulty), "excluded" (on the list of exclusions) or "duplicate".
    packed
        Key of the packed sample; it follows from the images and the recipe.
    modalities
        What the sample holds.
    fingerprints
        Of the images that were read.
    shape
        Size of the sample (D, H, W).
    seconds
        Time that its preparation took.
    problems
        What was left out and why, as errors' plain values.
    warnings
        What a user should look at.
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
    warnings: tuple[str, ...] = field(default=())

    @property
    def bytes(self) -> int:
        """Of the packed sample."""
        return math.prod(self.shape) * (len(self.modalities) + 1)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> StudyRecord:
        """From a line of the index; TypeError if it lacks something."""
        known = {item.name for item in fields(cls)}
        kept = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in values.items()
            if key in known
        }
        record = cls(**kept)  # type: ignore[arg-type]
        files = {name: (str(path), int(size), int(time)) for name, (path, size, time) in record.files.items()}
        object.__setattr__(record, "files", files)
        return record


class DatasetIndex:
    """The records of a corpus, a JSON line each; the last line of a study counts, one cut short by a kill does not.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.records: dict[str, StudyRecord] = {}
        self._ends_whole = True
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8", errors="replace")
        self._ends_whole = text.endswith("\n") or not text
        for line in text.split("\n"):
            try:
                record = StudyRecord.from_dict(json.loads(line))
            except (ValueError, TypeError, AttributeError):
                continue
            self.records[record.key] = record

    def add(self, record: StudyRecord) -> None:
        """Append a record, flushed to the disk.

        Raises
        ------
        ResourceError
            If it cannot be written.
        """
        line = json.dumps(asdict(record)) + "\n"  # ASCII: names of files need not be text
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(line if self._ends_whole else "\n" + line)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise ResourceError(
                "The index of the corpus cannot be written",
                cause=error.strerror or str(error),
                remedy="Check that the disk has room",
                source=str(self.path),
            ) from error
        self._ends_whole = True
        self.records[record.key] = record

    def ready(self) -> list[StudyRecord]:
        """The studies in use, in an order that depends on them alone."""
        return sorted(
            (record for record in self.records.values() if record.state == READY), key=lambda r: r.key
        )
