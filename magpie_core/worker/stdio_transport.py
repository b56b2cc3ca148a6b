"""The worker's end of the pipe: messages only, whatever a library prints."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from typing import BinaryIO

from magpie_core.worker.protocol import Message, encode


class StdioTransport:
    """Standard input and output of this process, taken away from everything else.

    Messages are written to a private copy of file descriptor 1, while 1 itself leads to standard error from
    now on: what Python or a C library prints ends in the log, not between two messages. The copies are not
    inherited by child processes, so that none keeps the pipe open.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self._output: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)
        self._input: BinaryIO = os.fdopen(os.dup(0), "rb")
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._lock = threading.Lock()

    def send(self, message: Message) -> bool:
        """Write a message, whole; false if nobody reads any more."""
        line = memoryview(encode(message))
        with self._lock:
            try:
                while line:
                    line = line[self._output.write(line) :]
            except OSError:
                return False
        return True

    def lines(self) -> Iterator[bytes]:
        """The lines that arrive, until the other end closes."""
        for line in self._input:
            if line.strip():
                yield line
