"""Runs commands of `magpie` in processes that are killed; imports what is slow to import once, then forks for each.

Reads a line of JSON for each command: its words, a file for what it says, and at which change of the disk it is killed
(0 for never). Answers with its process, and with how it ended: the code, and the number of changes until then.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink", "os.chmod")


def _run(words: list[str], said: str, deadly: int, changes: int) -> None:
    """Run a command in a forked process, which ends here."""
    counted = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal counted
        is_change = event in CHANGES
        if event == "open" and isinstance(arguments[2], int):
            is_change = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) and arguments[0] != os.devnull
        if is_change:
            counted += 1
            if counted == deadly:
                os.kill(os.getpid(), signal.SIGKILL)

    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    code = 1
    try:
        from magpie_core.cli import app

        sys.addaudithook(count)
        app(words)
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os.write(changes, counted.to_bytes(4, "little"))
        os._exit(code)


def _answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def serve() -> None:
    """Answer until the input ends."""
    import torch

    from magpie_core.cli import app

    torch.set_num_threads(1)
    with contextlib.suppress(SystemExit), open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        app(["models", "list"])  # imports what every command does
    _answer("ready")
    for line in sys.stdin:
        words, said, deadly = json.loads(line)
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            _run(words, said, deadly, writer)
        os.close(writer)
        _answer(str(process))
        _, status = os.waitpid(process, 0)
        changes = int.from_bytes(os.read(reader, 4), "little")
        os.close(reader)
        _answer(json.dumps([os.waitstatus_to_exitcode(status), changes]))


if __name__ == "__main__":
    serve()
