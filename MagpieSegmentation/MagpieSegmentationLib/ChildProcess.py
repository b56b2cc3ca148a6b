"""A program that runs while Slicer's window stays alive."""

import subprocess
import time

import slicer

_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)


def runChild(command, output, environment=None, timeout=3600, isCancelled=lambda: False):
    """Run a program until it ends, and return its exit code; None if it was cancelled or took too long.

    Parameters
    ----------
    command
        Program and arguments.
    output
        Open file for what it writes.
    environment
        Its environment; by default that of this process.
    timeout
        In seconds.
    isCancelled
        Function without arguments, called while the program runs.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        creationflags=_NO_WINDOW,
    )
    end = time.monotonic() + timeout
    try:
        while process.poll() is None:
            if isCancelled() or time.monotonic() > end:
                return None
            slicer.app.processEvents()
            time.sleep(0.02)
        return process.returncode
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
