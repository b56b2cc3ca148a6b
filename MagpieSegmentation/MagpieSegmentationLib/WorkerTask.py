"""A job of the worker, one at a time."""

import logging
import time

from magpie_core.errors import Cancelled, MagpieError

from .Signal import Signal


class WorkerTask:
    """A job of the worker as signals.

    Parameters
    ----------
    port
        WorkerPort that carries it.
    rename
        Function that replaces file names in messages by names of the user, e.g. of volumes.

    Attributes
    ----------
    progressChanged
        Signal(fraction, stage), 0 to 1.
    warned
        Signal(text): a warning; the job continues.
    finished
        Signal(message): the fields of the result.
    failed
        Signal(MagpieError); of class Cancelled if the user cancelled the job.
    """

    def __init__(self, port, rename=None):
        self.progressChanged = Signal()
        self.warned = Signal()
        self.finished = Signal()
        self.failed = Signal()
        self._port = port
        self._rename = rename or (lambda text: text)
        self._job = None
        self._kind = ""
        self._startedS = 0.0

    @property
    def isRunning(self):
        """Whether a job is running."""
        return self._job is not None

    def start(self, job):
        """Submit a job; returns at once."""
        if self.isRunning:
            raise RuntimeError("a job is running")
        self._kind, self._startedS = job["kind"], time.monotonic()
        logging.info("MAGPIE: job %s started", self._kind)
        self._job = self._port.submit(job, self._onMessage)

    def cancel(self):
        """Request cancellation; `failed` is emitted with a Cancelled when the job has ended."""
        if self.isRunning:
            self._port.cancel(self._job)

    def forget(self):
        """Ignore further messages of the job."""
        if self.isRunning:
            self._logEnd("dropped")
        self._job = None

    def _onMessage(self, message):
        if message.get("id") != self._job:
            return
        if message["type"] == "progress":
            self.progressChanged.emit(message["fraction"], message["stage"])
        elif message["type"] == "warning":
            self.warned.emit(self._rename(message["text"]))
        elif message["type"] == "result":
            self._job = None
            self._logEnd("finished")
            self.finished.emit(message)
        elif message["type"] == "error":
            self._job = None
            self._logEnd("cancelled" if message["kind"] == "Cancelled" else "failed")
            self.failed.emit(self._asError(message))

    def _logEnd(self, how):
        """Write how the job ended and how long it took; never a name of a volume, which may be a patient's."""
        logging.info("MAGPIE: job %s %s after %.1f s", self._kind, how, time.monotonic() - self._startedS)

    def _asError(self, message):
        kind = Cancelled if message["kind"] == "Cancelled" else MagpieError
        parts = {part: self._rename(message.get(part, "")) for part in ("cause", "remedy", "source")}
        error = kind(self._rename(message["what"]), **parts)
        error.questions = message.get("questions", {})  # what the user may confirm, by the field that says yes
        return error
