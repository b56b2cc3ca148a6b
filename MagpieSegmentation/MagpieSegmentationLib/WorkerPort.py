"""One worker process, and who is to hear of which job."""

import shutil
import sys

from magpie_core.worker.client import WorkerClient


class WorkerPort:
    """Hands jobs to a worker process and each message to whoever gave the job; does not wait.

    The process starts with the first job and stays, with its model loaded, until `close`.

    Parameters
    ----------
    client
        Stands between this process and the worker; a WorkerClient by default.
    """

    def __init__(self, client=None):
        self._client = client
        self._listeners = {}

    @property
    def folder(self):
        """Private temporary folder for the files of the jobs."""
        return self._open().folder

    def submit(self, job, listener):
        """Give a job; `listener` is called with every message about it. Returns the job's identifier."""
        identifier = self._open().submit(job)
        self._listeners[identifier] = listener
        return identifier

    def cancel(self, identifier):
        """Ask a job to end; it ends with an error of kind "Cancelled"."""
        if self._client is not None:
            self._client.cancel(identifier)

    def poll(self):
        """Take the messages of the worker and hand them on; to be called regularly, e.g. by a timer."""
        if self._client is None:
            return
        for message in self._client.poll():
            listener = self._listeners.get(message.get("id"))
            if message["type"] in ("result", "error"):
                self._listeners.pop(message.get("id"), None)
            if listener is not None:
                listener(message)

    def close(self):
        """End the worker process and remove its files."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._listeners = {}

    @staticmethod
    def pythonExecutable():
        """The Python that runs the worker: PythonSlicer inside Slicer."""
        return shutil.which("PythonSlicer") or sys.executable

    def _open(self):
        if self._client is None:
            self._client = WorkerClient(self.pythonExecutable())
        return self._client
