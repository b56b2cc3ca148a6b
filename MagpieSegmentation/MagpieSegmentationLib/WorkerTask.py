"""One kind of job, one at a time."""

from magpie_core.errors import Cancelled, MagpieError

from .Signal import Signal


class WorkerTask:
    """A job of the worker as signals.

    Parameters
    ----------
    port
        WorkerPort that carries it.
    rename
        Function that makes words of the worker fit for the user, e.g. names of volumes instead of files.

    Attributes
    ----------
    progressChanged
        Signal(fraction, stage), 0 to 1.
    warned
        Signal(text): something the user should know, while the job goes on.
    finished
        Signal(message): the fields of the result.
    failed
        Signal(MagpieError); of class Cancelled if the user ended the job.
    """

    def __init__(self, port, rename=None):
        self.progressChanged = Signal()
        self.warned = Signal()
        self.finished = Signal()
        self.failed = Signal()
        self._port = port
        self._rename = rename or (lambda text: text)
        self._job = None

    @property
    def isRunning(self):
        """Whether a job is under way."""
        return self._job is not None

    def start(self, job):
        """Give the job; returns at once."""
        if self.isRunning:
            raise RuntimeError("a job is under way")
        self._job = self._port.submit(job, self._take)

    def cancel(self):
        """Ask the job to end; `failed` is emitted with a Cancelled when it has."""
        if self.isRunning:
            self._port.cancel(self._job)

    def forget(self):
        """Hear no more of the job."""
        self._job = None

    def _take(self, message):
        if message.get("id") != self._job:
            return
        if message["type"] == "progress":
            self.progressChanged.emit(message["fraction"], message["stage"])
        elif message["type"] == "warning":
            self.warned.emit(self._rename(message["text"]))
        elif message["type"] == "result":
            self._job = None
            self.finished.emit(message)
        elif message["type"] == "error":
            self._job = None
            self.failed.emit(self._asError(message))

    def _asError(self, message):
        kind = Cancelled if message["kind"] == "Cancelled" else MagpieError
        parts = {part: self._rename(message.get(part, "")) for part in ("cause", "remedy", "source")}
        return kind(self._rename(message["what"]), **parts)
