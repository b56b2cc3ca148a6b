"""The worker process: takes jobs, does them one at a time, stays alive and says so."""

from __future__ import annotations

import logging
import os
import platform
import queue
import shutil
import threading
import time
from pathlib import Path

from magpie_core import __version__
from magpie_core.app.failure import FrontEnd, explain_failure
from magpie_core.errors import Cancelled, MagpieError
from magpie_core.worker import protocol
from magpie_core.worker.jobs import Jobs
from magpie_core.worker.protocol import Message, ProtocolError
from magpie_core.worker.stdio_transport import StdioTransport

logger = logging.getLogger(__name__)

_ORPHAN_GRACE_S = 2.0
_PROGRESS_INTERVAL_S = 0.1


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
        """Work until told to end, or until nobody is at the other end any more."""
        self._send(protocol.hello(pid=os.getpid(), magpie=__version__, python=platform.python_version()))
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
            fields = self._jobs.run(
                job, progress=_Progress(self, identifier), warn=lambda text: self._warn(identifier, text)
            )
            answer = protocol.result(identifier, **fields)
        except Exception as error:
            if isinstance(error, MagpieError):
                logger.info("job %s: %s", identifier, error)
            else:
                logger.exception("job %s failed", identifier)
            answer = protocol.error(identifier, explain_failure(error, self._front_end))
        finally:
            self._current = None
            self._cancelled.discard(identifier)
        self._send(answer)

    def _warn(self, identifier: str, text: str) -> None:
        self._send(protocol.warning(identifier, text))

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
                self._send(protocol.error(protocol.identifier_of(line), failure))
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
            heard = self._send(protocol.heartbeat(self._current))
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

    def _send(self, message: Message) -> bool:
        return self._channel.send(message)


class _Progress:
    """Passes progress on, not too often, and ends a cancelled job."""

    def __init__(self, server: Server, identifier: str) -> None:
        self._server = server
        self._identifier = identifier
        self._stage = ""
        self._last = 0.0

    def __call__(self, fraction: float, stage: str) -> None:
        self._server._raise_if_cancelled(self._identifier)
        now = time.monotonic()
        if stage != self._stage or now - self._last >= _PROGRESS_INTERVAL_S:
            self._stage, self._last = stage, now
            self._server._send(protocol.progress(self._identifier, fraction, stage))
