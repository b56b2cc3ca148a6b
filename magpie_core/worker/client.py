"""The panel's end: starts the worker, hands it jobs, and never waits for it."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from magpie_core.errors import Cancelled, MagpieError
from magpie_core.worker import protocol
from magpie_core.worker.death import describe_death
from magpie_core.worker.private_folder import PrivateFolder
from magpie_core.worker.protocol import Message
from magpie_core.worker.worker_process import WorkerProcess

_LONGEST_STEP_S = 5.0


class WorkerClient:
    """A worker process that is started when first needed, and again whenever it died.

    Nothing here blocks but `close`: call `poll` regularly, e.g. from a timer, and read the messages it
    returns. Every job that was submitted ends in exactly one message of type "result" or "error", also if the
    worker crashes, is killed, hangs, or cannot be started.

    Args:
        python: The Python to run, or the command that starts it; by default this one.
        folder: Parent of the private temporary folder; the system's folder for temporary files by default.
        environment: Variables to add to the worker's environment.
        inherited: The environment of the worker otherwise; by default that of this process.
        cancel_grace_s: Time for a cancelled job to end by itself; then the process is killed.
        silence_s: Time without any sign of life after which the process is taken for hung, and killed.

    Attributes:
        folder: Private temporary folder for the files of the jobs; `close` removes it.
    """

    def __init__(
        self,
        python: str | Path | Sequence[str] = sys.executable,
        *,
        folder: str | Path | None = None,
        environment: Mapping[str, str] | None = None,
        inherited: Mapping[str, str] | None = None,
        cancel_grace_s: float = 1.5,
        silence_s: float = 120.0,
    ) -> None:
        self._python, self._inherited = _command(python), inherited
        self._environment = dict(environment or {})
        self._cancel_grace_s = cancel_grace_s
        self._silence_s = silence_s
        self._private = PrivateFolder(folder)
        self.folder = self._private.path
        self._worker: WorkerProcess | None = None
        self._numbers = itertools.count(1)
        self._open: set[str] = set()
        self._deadlines: dict[str, float] = {}  # when a cancelled job must have ended
        self._unread: list[Message] = []
        self._killed_because = ""
        self._silent_for_s = 0.0
        self._last_poll = 0.0

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log(self) -> Path:
        """What the worker and its libraries wrote; it goes with the private folder."""
        return self.folder / "worker.log"

    @property
    def pid(self) -> int | None:
        """The worker's process, or None while there is none."""
        return self._worker.pid if self._worker is not None and self._worker.exit_code is None else None

    @property
    def busy(self) -> bool:
        """Whether a job has not ended yet."""
        return bool(self._open)

    def use(
        self, python: str | Path | Sequence[str] = sys.executable, *, inherited: Mapping[str, str] | None = None
    ) -> None:
        """Do the jobs from now on in another Python; nothing changes while a job runs."""
        if not self.busy and _command(python) != self._python:
            self._end_worker()
            self._python, self._inherited = _command(python), inherited

    def submit(self, job: Mapping[str, Any]) -> str:
        """Hand over a job and return its identifier; the worker is started if need be.

        Args:
            job: "kind" and the fields of that kind. Paths must be absolute: the worker runs in its private folder.
        """
        if not self._private.exists:
            raise RuntimeError("this client is closed")
        identifier = f"job-{next(self._numbers)}"
        self._open.add(identifier)
        self._collect()
        try:
            worker = self._worker or self._start()
        except OSError as failure:
            error = MagpieError(
                "MAGPIE's background process could not be started",
                cause=str(failure.strerror or failure),
                remedy="Check that this Python exists and may be run, or install MAGPIE again",
                source=self._python[-1],
            )
            self._fail(identifier, error, kind="WorkerNotStarted")
            return identifier
        worker.send(protocol.message("job", id=identifier, **job))  # a failure shows as its death
        return identifier

    def cancel(self, identifier: str) -> None:
        """Ask a job to end; it ends with an error of kind "Cancelled", by force after the time of grace."""
        if identifier in self._open and identifier not in self._deadlines:
            self._deadlines[identifier] = time.monotonic() + self._cancel_grace_s
            if self._worker is not None:
                self._worker.send(protocol.message("cancel", id=identifier))

    def poll(self) -> list[Message]:
        """The messages since the last call: hello, heartbeat, progress, warning, result, error."""
        self._collect()
        messages, self._unread = self._unread, []
        return messages

    def close(self, grace_s: float = 2.0) -> None:
        """End the worker, by force if it takes longer than `grace_s`, and remove the private folder."""
        self._end_worker(grace_s)
        self._open.clear()
        self._private.remove()

    def _end_worker(self, grace_s: float = 2.0) -> None:
        if self._worker is not None:
            self._worker.send(protocol.message("shutdown"))
            if not self._worker.wait(grace_s):
                self._worker.kill()
                self._worker.wait(grace_s)
            self._worker.close_input()
            self._worker = None

    def _start(self) -> WorkerProcess:
        package = Path(__file__).resolve().parents[2]
        inherited = os.environ if self._inherited is None else self._inherited
        environment = {**inherited, **self._environment, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
        paths = [str(package), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        command = [*self._python, "-m", "magpie_core.worker", "--folder", str(self.folder)]
        command += ["--log", str(self.log)]
        # Its own folder, since Python would import a stray module from the current one.
        self._worker = WorkerProcess(command, environment=environment, folder=self.folder, log=self.log)
        self._killed_because, self._silent_for_s, self._last_poll = "", 0.0, time.monotonic()
        return self._worker

    def _collect(self) -> None:
        """Take what arrived, and see to a process that is dead, deaf or disobedient."""
        if self._worker is None:
            return
        exit_code = self._worker.exit_code  # first: once it is there, nothing more arrives
        arrived = self._worker.receive()
        for message in arrived:
            if message["type"] in ("result", "error") and message.get("id") is not None:
                if message["id"] not in self._open:
                    continue  # its end was reported already
                self._close_job(message["id"])
            self._unread.append(message)
        if exit_code is not None:
            self._end_jobs(exit_code)
        else:
            self._watch(heard=bool(arrived))

    def _watch(self, *, heard: bool) -> None:
        """Kill the process if a cancelled job goes on, or if it is silent for too long."""
        assert self._worker is not None
        now = time.monotonic()
        # A step is bounded: after the computer slept, the worker deserves time to be heard.
        step, self._last_poll = min(now - self._last_poll, _LONGEST_STEP_S), now
        self._silent_for_s = 0.0 if heard else self._silent_for_s + step
        if any(now > deadline for deadline in self._deadlines.values()):
            self._killed_because = "it was ended to cancel another job"
        elif self._open and self._silent_for_s > self._silence_s:
            self._killed_because = f"it gave no sign of life for {self._silence_s:.0f} s"
        if self._killed_because:
            self._worker.kill()

    def _end_jobs(self, exit_code: int) -> None:
        """End the jobs of a process that is gone."""
        assert self._worker is not None
        worker, self._worker = self._worker, None
        worker.close_input()
        for identifier in sorted(self._open):
            if identifier in self._deadlines:
                self._fail(identifier, Cancelled("The job was cancelled"))
            else:
                failure = describe_death(exit_code, worker.last_lines(), self.log, killed_because=self._killed_because)
                self._fail(identifier, failure, kind="WorkerDied", exit_code=exit_code)

    def _fail(self, identifier: str, failure: MagpieError, *, kind: str = "", **fields: Any) -> None:
        self._close_job(identifier)
        self._unread.append(protocol.error(identifier, failure, kind=kind, **fields))

    def _close_job(self, identifier: str) -> None:
        self._open.discard(identifier)
        self._deadlines.pop(identifier, None)


def _command(python: str | Path | Sequence[str]) -> list[str]:
    return [str(python)] if isinstance(python, (str, Path)) else list(python)
