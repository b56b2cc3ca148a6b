"""The metrics of a running training."""

import json
from pathlib import Path

from slicer.i18n import tr as _

SYNTHETIC = "synthetic"
"""Folder of the synthetic studies of a run, beside those of its folds."""

_TAIL_BYTES = 1 << 20
_SAMPLES = 300
_MAXIMUM_LINES = 2000
_OLD_NAMES = {"spent": "progress", "rate": "learning_rate"}  # of version 0.5


class RunLog:
    """Lines of a `log.jsonl`; a long one is subsampled.

    Parameters
    ----------
    path
        Path of the file, which may not exist yet.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.lines = []
        self._offset = 0

    @property
    def title(self):
        """Display name of this training: "Fold 1" for the folder fold0, "All cases" for the last."""
        name = self.path.parent.name
        if name == "all":
            return _("All cases")
        number = name.removeprefix("fold")
        return _("Fold {n}").format(n=int(number) + 1) if number.isdigit() else name

    @property
    def countsStudies(self):
        """Whether it is the log of the synthetic studies, which are made before the first fold."""
        return self.path.parent.name == SYNTHETIC

    @staticmethod
    def newest(runsFolder):
        """Return the log below a folder of runs that was written last; None if there is none."""
        logs = sorted(Path(runsFolder).glob("*/*/log.jsonl"), key=lambda path: path.stat().st_mtime)
        return RunLog(logs[-1]) if logs else None

    def update(self):
        """Read new lines; returns whether there were any."""
        try:
            size = self.path.stat().st_size
        except OSError:
            return False
        if size < self._offset:  # replaced by another training
            self.lines, self._offset = [], 0
        if size == self._offset:
            return False
        with self.path.open("rb") as stream:
            if size - self._offset > _TAIL_BYTES:
                self._sample(stream, size)
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break  # incomplete
                self._take(line)
                self._offset += len(line)
        if len(self.lines) > _MAXIMUM_LINES:
            self.lines = self.lines[: -_MAXIMUM_LINES // 4 : 2] + self.lines[-_MAXIMUM_LINES // 4 :]
        return True

    def column(self, name):
        """Return a metric over the steps: list of (step, value)."""
        return [(line["step"], line[name]) for line in self.lines if name in line]

    def columns(self, prefix):
        """Return the sorted names of the metrics with a prefix."""
        names = {name for line in self.lines[-1:] for name in line if name.startswith(prefix)}
        return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in name.split("_")])

    def _sample(self, stream, size):
        """Read lines at equal distances in bytes up to the tail, which is read in full afterwards."""
        end = size - _TAIL_BYTES
        for number in range(_SAMPLES):
            stream.seek(self._offset + number * (end - self._offset) // _SAMPLES)
            if number or self._offset:
                stream.readline()
            self._take(stream.readline())
        stream.seek(end)
        stream.readline()
        self._offset = stream.tell()

    def _take(self, line):
        try:
            values = json.loads(line)
        except ValueError:
            return
        if not isinstance(values, dict) or "step" not in values:
            return
        if not self.lines or values["step"] > self.lines[-1]["step"]:
            self.lines.append({_OLD_NAMES.get(name, name): value for name, value in values.items()})
