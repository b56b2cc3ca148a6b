"""The log of a run: a line of JSON every so many steps, for TensorBoard too if enabled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from magpie_core.errors import ResourceError
from magpie_core.storage.atomic import write_bytes
from magpie_core.storage.json_lines import append_json_line, read_json_lines
from magpie_core.training import distributed

NAME = "log.jsonl"


def read_log(path: Path) -> list[dict[str, float]]:
    """Return the lines of a log, in order; a line torn by a kill is skipped."""
    return [line for line in read_json_lines(path) if "step" in line]


class RunLog:
    """Appends metrics to the log of a run; only rank 0 writes.

    Args:
        step: Step that the training is resumed at: later lines, of steps that will be repeated, are dropped.
        tensorboard: Write into `tensorboard` in the run folder too.

    Raises:
        ResourceError: If the log cannot be written, or TensorBoard is enabled and not installed.
    """

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = False) -> None:
        self._path = folder / NAME
        is_main = distributed.rank() == 0
        self._writer: Any = None
        if tensorboard and is_main:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                remedy = "Install it: pip install 'magpie-core[tensorboard]'"
                raise ResourceError("TensorBoard is not installed", remedy=remedy) from error
            self._writer = SummaryWriter(str(folder / "tensorboard"))
        if is_main and self._path.is_file():
            kept = [line for line in read_log(self._path) if line["step"] <= step]
            payload = "".join(f"{json.dumps(line)}\n" for line in kept).encode()
            if payload != self._path.read_bytes():
                write_bytes(self._path, payload)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, line: dict[str, float]) -> None:
        """Append one line (ResourceError if it cannot be written)."""
        append_json_line(self._path, line)
        if self._writer is not None:
            for name, value in line.items():
                self._writer.add_scalar(name, value, int(line["step"]))
