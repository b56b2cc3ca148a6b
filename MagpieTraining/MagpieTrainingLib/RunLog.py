"""The log of a training, read while it grows."""

import json
from pathlib import Path

from slicer.i18n import tr as _

_WHOLE_BYTES = 1 << 20
_SAMPLES = 300
_MOST_LINES = 2000


class RunLog:
    """Lines of a `log.jsonl`; a long one is sampled, so that opening it takes no longer than a short one.

    Parameters
    ----------
    path
        The file; it may not exist yet.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.lines = []
        self._offset = 0

    @property
    def title(self):
        """What to call this training of a teaching: "Round 1" for the folder fold0, "All cases" for the last."""
        name = self.path.parent.name
        if name == "all":
            return _("All cases")
        number = name.removeprefix("fold")
        return _("Round {n}").format(n=int(number) + 1) if number.isdigit() else name

    @staticmethod
    def newest(runsFolder):
        """The log that was written last below a folder of runs; None if there is none."""
        logs = sorted(Path(runsFolder).glob("*/*/log.jsonl"), key=lambda path: path.stat().st_mtime)
        return RunLog(logs[-1]) if logs else None

    def update(self):
        """Read what is new; returns whether there was anything."""
        try:
            size = self.path.stat().st_size
        except OSError:
            return False
        if size < self._offset:  # another training began in its place
            self.lines, self._offset = [], 0
        if size == self._offset:
            return False
        with self.path.open("rb") as stream:
            if size - self._offset > _WHOLE_BYTES:
                self._sample(stream, size)
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break  # half a line: next time
                self._take(line)
                self._offset += len(line)
        if len(self.lines) > _MOST_LINES:
            self.lines = self.lines[: -_MOST_LINES // 4 : 2] + self.lines[-_MOST_LINES // 4 :]
        return True

    def column(self, name):
        """A figure over the steps: list of (step, value)."""
        return [(line["step"], line[name]) for line in self.lines if name in line]

    def columns(self, beginning):
        """Names of the figures that begin so, in order."""
        names = {name for line in self.lines[-1:] for name in line if name.startswith(beginning)}
        return sorted(
            names, key=lambda name: [int(part) if part.isdigit() else part for part in name.split("_")]
        )

    def _sample(self, stream, size):
        """Every so many bytes a line; the last part is read in full afterwards."""
        end = size - _WHOLE_BYTES
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
        if (
            isinstance(values, dict)
            and "step" in values
            and (not self.lines or values["step"] > self.lines[-1]["step"])
        ):
            self.lines.append(values)
