"""An official Slicer, started by its launcher on a display of its own, and driven from outside.

Has the part of the interface of the driver `DesktopSlicer` that the suite uses. Needs Xvfb, openbox, xdotool and
ImageMagick's `import`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

_ANSWERS = """
def _answer(folder):
    import contextlib, io, json, os, traceback, types
    import qt, slicer
    names = dict(slicer=slicer, qt=qt)

    def poll():
        for name in sorted(n for n in os.listdir(folder) if n.endswith(".in")):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                code = file.read()
            os.remove(os.path.join(folder, name))
            out, error = io.StringIO(), None
            try:
                with contextlib.redirect_stdout(out):
                    exec(compile(code, name, "exec"), names)
            except BaseException:
                error = traceback.format_exc()
            place = os.path.join(folder, name[:-3] + ".out")
            with open(place + ".part", "w", encoding="utf-8") as file:
                json.dump(dict(out=out.getvalue(), error=error), file)
            os.rename(place + ".part", place)

    names["timer"] = timer = qt.QTimer()
    timer.setInterval(40)
    timer.connect("timeout()", poll)
    timer.start()
    slicer.magpieSuite = names
    open(os.path.join(folder, "ready"), "w").close()

_answer(FOLDER)
"""


class LaunchedSlicer:
    """A running Slicer: its settings and temporary files are in a folder of its own.

    Args:
        executable: Slicer's launcher.
        modules: Folders of scripted modules.
        site: Further folders on Python's path.
        home: Folder for settings; a fresh one by default.
        extra_env: Further environment variables.
        size: Of the screen, pixels.
    """

    def __init__(
        self,
        executable: str,
        *,
        modules: list[str],
        site: list[str],
        home: str | None = None,
        extra_env: dict[str, str] | None = None,
        size: tuple[int, int] = (1600, 1000),
    ) -> None:
        self.leftovers: list[tuple[int, str]] = []
        self._arguments = [executable, "--no-splash", "--ignore-slicerrc", "--additional-module-paths", *modules]
        self._site, self._home, self._more, self._size = site, home, extra_env or {}, size
        self._mark = uuid.uuid4().hex
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log = ""
        self._count = 0

    def start(self, timeout_s: float = 180) -> LaunchedSlicer:
        """Start the display and Slicer; return when it answers."""
        self._folder = Path(tempfile.mkdtemp(prefix="launched-slicer-"))
        home = Path(self._home or self._folder / "home")
        home.mkdir(exist_ok=True)
        read, write = os.pipe()
        screen = "{}x{}x24".format(*self._size)
        xvfb = ["Xvfb", "-displayfd", str(write), "-screen", "0", screen, "+extension", "GLX", "-nolisten", "tcp"]
        self._run(xvfb, os.environ.copy(), pass_fds=(write,))
        os.close(write)
        display = os.fdopen(read).readline().strip()
        cleared = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "QT_"))}
        path = os.pathsep.join([*self._site, *filter(None, [self._more.get("PYTHONPATH")])])
        self._environment = {
            **cleared,
            **self._more,
            "DISPLAY": f":{display}",
            "HOME": str(home),
            "PYTHONPATH": path,
            "MAGPIE_SUITE": self._mark,
            "LIBGL_ALWAYS_SOFTWARE": "1",
        }
        self._run(["openbox"], self._environment)
        script = self._folder / "answer.py"
        script.write_text(_ANSWERS.replace("FOLDER", repr(str(self._folder))), encoding="utf-8")
        with (self._folder / "log.txt").open("wb") as log:
            self._slicer = self._run([*self._arguments, "--python-script", str(script)], self._environment, stdout=log)
        deadline = time.monotonic() + timeout_s
        while not (self._folder / "ready").exists():
            assert self.alive and time.monotonic() < deadline, self.log
            time.sleep(0.1)
        return self

    @property
    def alive(self) -> bool:
        """Whether Slicer runs."""
        return self._slicer.poll() is None

    @property
    def pid(self) -> int:
        """Process identifier of Slicer's launcher."""
        return self._slicer.pid

    @property
    def log(self) -> str:
        """All that Slicer printed."""
        if (self._folder / "log.txt").exists():
            self._log = (self._folder / "log.txt").read_text(encoding="utf-8", errors="replace")
        return self._log

    def exec(self, code: str, timeout: float = 60) -> str:
        """Run code in Slicer's main thread and return what it printed."""
        self._count += 1
        place = self._folder / f"{self._count:09d}"
        place.with_suffix(".part").write_text(code, encoding="utf-8")
        place.with_suffix(".part").rename(place.with_suffix(".in"))
        deadline = time.monotonic() + timeout
        while not place.with_suffix(".out").exists():
            if not self.alive or time.monotonic() > deadline:
                raise RuntimeError(f"Slicer did not answer\n{self.log[-3000:]}")
            time.sleep(0.02)
        answer = json.loads(place.with_suffix(".out").read_text(encoding="utf-8"))
        if answer["error"]:
            raise RuntimeError(answer["error"])
        return str(answer["out"])

    def value(self, expression: str, timeout: float = 60) -> Any:
        """Return the value of an expression, by JSON."""
        return json.loads(self.exec(f"import json\nprint(json.dumps({expression}))", timeout).splitlines()[-1])

    def maximize(self) -> None:
        """Give the main window the whole screen."""
        self.exec("slicer.util.mainWindow().showMaximized()\nslicer.app.processEvents()")

    def screenshot(self, path: str) -> str:
        """Write the whole screen to a file."""
        subprocess.run(["import", "-silent", "-window", "root", path], env=self._environment, check=True)
        return path

    def xdotool(self, *arguments: Any) -> str:
        """Run xdotool on the display."""
        done = subprocess.run(
            ["xdotool", *map(str, arguments)], env=self._environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    def processes(self) -> list[tuple[int, str]]:
        """Return what Slicer started and still runs, itself included."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                mine = f"MAGPIE_SUITE={self._mark}".encode() in (folder / "environ").read_bytes()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if mine and command and not command.startswith("openbox"):
                found.append((int(folder.name), command))
        return found

    def stop(self, timeout_s: float = 30) -> None:
        """Ask Slicer to exit; what it left running is listed in `leftovers` and killed."""
        with contextlib.suppress(RuntimeError):
            self.exec("slicer.util.exit(0)", timeout_s)
        try:
            self._slicer.wait(timeout_s)
            time.sleep(0.2)
            self.leftovers = self.processes()
        except subprocess.TimeoutExpired:
            self._slicer.kill()
        for process, _ in self.processes():
            os.kill(process, signal.SIGKILL)
        self._log = self.log
        for running in reversed(self._processes):
            running.terminate()
            running.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, command: list[str], environment: dict[str, str], **more: Any) -> subprocess.Popen[bytes]:
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, **more}
        process: subprocess.Popen[bytes] = subprocess.Popen(command, env=environment, start_new_session=True, **options)
        self._processes.append(process)
        return process
