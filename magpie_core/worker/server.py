"""The worker process: takes jobs, does them one at a time, stays alive and says so."""

from __future__ import annotations

import logging
import os
import platform
import queue
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from magpie_core import __version__
from magpie_core.app.failure import FrontEnd, explain_failure
from magpie_core.errors import Cancelled, MagpieError
from magpie_core.progress import Progress
from magpie_core.worker import protocol
from magpie_core.worker.jobs import Jobs
from magpie_core.worker.protocol import Message, ProtocolError, encode

logger = logging.getLogger(__name__)

_ORPHAN_GRACE_S = 2.0
_PROGRESS_INTERVAL_S = 0.1


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


class Server:
    """Three threads: one reads messages, one sends signs of life, and the main one works.

    Args:
        channel: Where messages come from and go to.
        folder: The panel's private folder. It is removed if the panel is gone: images of a patient may lie in it.
        log: Path of the log, named in the message of an unexpected error.
    """

    def __init__(self, channel: StdioTransport, *, folder: Path | None = None, log: Path | None = None) -> None:
        self._channel = channel
        self._folder = folder
        details = f"The log has the details: {log}" if log else "The log has the details"
        self._front_end = FrontEnd(unexpected=details)
        self._jobs = Jobs()
        self._waiting: queue.Queue[Message | None] = queue.Queue()
        self._cancelled: set[str] = set()
        self._current: str | None = None
        self._ending = threading.Event()
        self._finished = threading.Event()
        self._leaving = threading.Lock()
        self._orphaned = False
        self._parent = os.getppid()

    def run(self) -> None:
        """Do jobs until the panel asks to shut down or is gone."""
        self._channel.send(
            protocol.message("hello", pid=os.getpid(), magpie=__version__, python=platform.python_version())
        )
        for target in (self._read, self._live):
            threading.Thread(target=target, name=target.__name__, daemon=True).start()
        while (job := self._waiting.get()) is not None:
            self._do(job)
        self._finished.set()
        if self._orphaned:
            self._leave_nothing()

    def _do(self, job: Message) -> None:
        identifier = job["id"]
        self._current = identifier
        try:
            self._raise_if_cancelled(identifier)
            fields = self._jobs.run(job, progress=self._reporter(identifier), warn=partial(self._warn, identifier))
            answer = protocol.message("result", id=identifier, **fields)
        except Exception as error:
            if isinstance(error, MagpieError):
                logger.info("job %s: %s", identifier, error)
            else:
                logger.exception("job %s failed", identifier)
            answer = protocol.error(identifier, explain_failure(error, self._front_end))
        finally:
            self._current = None
            self._cancelled.discard(identifier)
        self._channel.send(answer)

    def _warn(self, identifier: str, text: str) -> None:
        self._channel.send(protocol.message("warning", id=identifier, text=text))

    def _reporter(self, identifier: str) -> Progress:
        """Return a function that sends progress, not too often, and ends a cancelled job."""
        last_stage, last_s = "", 0.0

        def report(fraction: float, stage: str) -> None:
            nonlocal last_stage, last_s
            self._raise_if_cancelled(identifier)
            now_s = time.monotonic()
            if stage != last_stage or now_s - last_s >= _PROGRESS_INTERVAL_S:
                last_stage, last_s = stage, now_s
                self._channel.send(protocol.progress(identifier, fraction, stage))

        return report

    def _raise_if_cancelled(self, identifier: str) -> None:
        if self._ending.is_set() or identifier in self._cancelled:
            raise Cancelled("The job was cancelled")

    def _read(self) -> None:
        for line in self._channel.lines():
            try:
                message = protocol.decode(line)
                self._take(message)
            except ProtocolError as failure:
                logger.warning("%s", failure)
                self._channel.send(protocol.error(protocol.identifier_of(line), failure))
            if self._ending.is_set():
                return
        self._end_as_orphan()

    def _take(self, message: Message) -> None:
        kind = message["type"]
        if kind == "job":
            self._waiting.put(message)
        elif kind == "cancel":
            self._cancelled.add(message["id"])
        elif kind == "shutdown":
            self._ending.set()
            self._waiting.put(None)
        else:
            raise ProtocolError(f"A worker takes no message of type {kind!r}")

    def _live(self) -> None:
        while not self._ending.wait(protocol.HEARTBEAT_S):
            heard = self._channel.send(protocol.message("heartbeat", id=self._current))
            if not heard or os.getppid() != self._parent:
                self._end_as_orphan()

    def _end_as_orphan(self) -> None:
        """The panel is gone: the job at hand gets a moment to end, then the process does."""
        self._orphaned = True
        self._ending.set()
        self._waiting.put(None)
        self._finished.wait(_ORPHAN_GRACE_S)
        self._leave_nothing()

    def _leave_nothing(self) -> None:
        """Clean up in place of the panel, and end whatever the other threads are doing."""
        with self._leaving:
            if self._folder is not None and self._folder.name.startswith(protocol.PRIVATE_FOLDER_PREFIX):
                os.chdir(self._folder.parent)
                shutil.rmtree(self._folder, ignore_errors=True)
            os._exit(0)
