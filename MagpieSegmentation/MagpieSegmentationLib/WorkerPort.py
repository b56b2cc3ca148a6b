"""One worker process, and the listeners of its jobs."""

import time

import slicer

from magpie_core.errors import MagpieError
from magpie_core.worker.client import WorkerClient

from .ModelChoice import withChosenModel
from .PythonSetting import PythonSetting


class WorkerPort:
    """Submits jobs to a worker process and dispatches its messages to the listener of each job; never blocks.

    The process starts with the first job and runs, with its model loaded, until `close`.

    Parameters
    ----------
    client
        WorkerClient; by default one of its own, in the Python that the user chose.
    """

    def __init__(self, client=None):
        self._client = client
        self._followsSetting = client is None
        self._listeners = {}

    @property
    def folder(self):
        """Private temporary folder for the files of the jobs."""
        return self._open().folder

    @property
    def pid(self):
        """Process identifier of the worker; None if it does not run."""
        return None if self._client is None else self._client.pid

    def submit(self, job, listener):
        """Submit a job; `listener` is called with each of its messages. Returns the identifier of the job."""
        identifier = self._open().submit(withChosenModel(job))
        self._listeners[identifier] = listener
        return identifier

    def cancel(self, identifier):
        """Request the cancellation of a job; it ends with an error of kind "Cancelled"."""
        if self._client is not None:
            self._client.cancel(identifier)

    def poll(self):
        """Dispatch the messages of the worker; to be called regularly, e.g. by a timer."""
        if self._client is None:
            return
        for message in self._client.poll():
            listener = self._listeners.get(message.get("id"))
            if message["type"] in ("result", "error"):
                self._listeners.pop(message.get("id"), None)
            if listener is not None:
                listener(message)

    def wait(self, task, start):
        """Call `start`, wait until `task` has emitted `finished` or `failed`, and return its result; for scripts.

        Raises
        ------
        MagpieError
            If the task fails.
        """
        outcome = []
        for signal in (task.finished, task.failed):
            signal.connect(outcome.append)
        try:
            start()
            while not outcome:
                slicer.app.processEvents()
                self.poll()
                time.sleep(0.02)
        finally:
            for signal in (task.finished, task.failed):
                signal.disconnect(outcome.append)
        if isinstance(outcome[0], MagpieError):
            raise outcome[0]
        return outcome[0]

    def close(self):
        """End the worker process and remove its files."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._listeners = {}

    def _open(self):
        if self._client is None:
            self._client = WorkerClient()
        if self._followsSetting:
            self._client.use(PythonSetting.command(), inherited=PythonSetting.environment())
        return self._client
