"""The log of a run: a line of JSON every so many steps, for TensorBoard too if asked for."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from magpie_core.errors import ResourceError
from magpie_core.storage.atomic import write_bytes
from magpie_core.training import distributed

NAME = "log.jsonl"


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a log, in order; half a line that a kill left is passed over."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "step" in line:
            lines.append(line)
    return lines


class RunLog:
    """Appends to the log of a run; only the first process writes.

    Parameters
    ----------
    folder
        Run folder, for `log.jsonl`.
    step
        Where the training goes on: later lines, of steps that will be taken again, are dropped.
    tensorboard
        Write into `tensorboard` in the run folder too.

    Raises
    ------
    ResourceError
        If the log cannot be written, or TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = False) -> None:
        self._path = folder / NAME
        self._first = distributed.number() == 0
        self._board = _board(folder / "tensorboard") if tensorboard and self._first else None
        if self._first and self._path.is_file():
            kept = [line for line in read_log(self._path) if line["step"] <= step]
            text = "".join(f"{json.dumps(line)}\n" for line in kept)
            if text != self._path.read_text(encoding="utf-8"):
                write_bytes(self._path, text.encode())

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()

    def write(self, line: dict[str, float]) -> None:
        """Append one line."""
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(f"{json.dumps(line)}\n")
            if self._board is not None:
                for name, value in line.items():
                    self._board.add_scalar(name, value, int(line["step"]))
        except OSError as error:
            raise ResourceError(
                "The log of the training cannot be written",
                cause=error.strerror or str(error),
                remedy="Make room on the disk and start the same command again: it goes on from the last checkpoint",
                source=str(self._path),
            ) from error


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ResourceError(
            "TensorBoard is not installed", remedy="Install it: pip install 'magpie-core[tensorboard]'"
        ) from error
    return SummaryWriter(str(folder))
