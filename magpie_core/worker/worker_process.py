"""One worker process as its client sees it: started, written to, read from, ended with all its children."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from magpie_core.worker import protocol
from magpie_core.worker.protocol import Message, ProtocolError

_TAIL_BYTES = 16384
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


class WorkerProcess:
    """A running worker; it does not outlive this object.

    Args:
        command: Program and arguments.
        environment: Its whole environment.
        folder: Its current folder.
        log: File that standard error is appended to.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self._log = log
        self._start_of_log = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env=dict(environment),
                cwd=folder,
                # A group of its own: Python may sit behind a launcher, and both must end together.
                start_new_session=os.name == "posix",
                creationflags=_NO_WINDOW,
            )
        self._arrived: queue.SimpleQueue[Message] = queue.SimpleQueue()
        assert self._process.stdout is not None
        # The thread must not hold this object, which would keep a forgotten worker alive.
        arguments = (self._process.stdout, self._arrived, self._process)
        self._reader = threading.Thread(target=_read, args=arguments, name="magpie-worker-reader", daemon=True)
        self._reader.start()
        weakref.finalize(self, _kill, self._process)

    @property
    def pid(self) -> int:
        """Process identifier."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal; None while the process runs, or while its last messages are not read yet."""
        return None if self._reader.is_alive() else self._process.poll()

    def send(self, message: Message) -> bool:
        """Write a message; false if the process does not read any more."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(protocol.encode(message))
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def receive(self) -> list[Message]:
        """The messages that arrived since the last call."""
        messages = []
        while not self._arrived.empty():
            messages.append(self._arrived.get())
        return messages

    def wait(self, timeout_s: float) -> bool:
        """Wait for the process to end; false if it still runs."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join(timeout_s)
        return True

    def close_input(self) -> None:
        """Close the worker's input, which ends it in good order."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        """End the process, and what it started, at once."""
        _kill(self._process)
        self.close_input()

    def last_lines(self) -> list[str]:
        """The last lines that this process wrote to its log."""
        try:
            with self._log.open("rb") as stream:
                end = stream.seek(0, os.SEEK_END)
                stream.seek(max(self._start_of_log, end - _TAIL_BYTES))
                text = stream.read().decode("utf-8", errors="replace")
        except OSError:
            return []
        return [line.strip() for line in text.splitlines() if line.strip()]


def _read(stream: IO[bytes], arrived: queue.SimpleQueue[Message], process: subprocess.Popen[bytes]) -> None:
    with stream:
        for line in stream:
            try:
                arrived.put(protocol.decode(line))
            except ProtocolError as failure:
                arrived.put(protocol.error(None, failure))
    process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process, and what it started, at once."""
    if process.poll() is not None:
        return
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        command = ["taskkill", "/F", "/T", "/PID", str(process.pid)]
        quiet = subprocess.DEVNULL
        subprocess.run(command, stdout=quiet, stderr=quiet, check=False, creationflags=_NO_WINDOW)
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2.0)  # Windows removes no file of a process that runs
