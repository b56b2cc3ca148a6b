"""A site whose commands are killed at random moments, and what must hold after each kill.

A third of the kills come at a random moment of the time that the command takes, a third right before a random one of
its changes of the disk, so that the short moments between two changes are met, too, and a third right before one of the
last ones, where what was made is put in place and logged.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from magpie_core.cohort.cohort import Cohort
from magpie_core.models.versions import Version, VersionStore
from magpie_core.storage.manifest import verify_manifest
from magpie_core.training.checkpoints import load_checkpoint

_MODEL = ("model.yaml", "weights.safetensors", "card.md")
ROOT = Path(__file__).resolve().parents[3]


class Killer:
    """Runs commands, kills some of them, and runs them again."""

    def __init__(self, folder: Path, models: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.kills = 0
        self._said = folder / "said.txt"
        self._usual: dict[str, tuple[float, int]] = {"finetune": (5.0, 250)}  # seconds, changes of the disk
        environment = os.environ | {"MAGPIE_SITE": str(folder / "site"), "MAGPIE_MODELS": str(models)}
        environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        environment.pop("MAGPIE_ANATOMY", None)
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("kill_server.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, bufsize=1,
        )  # fmt: skip
        assert self._server.stdout is not None and self._server.stdout.readline() == "ready\n"

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(30)

    def run(self, kind: str, words: list[object], *, expected: tuple[int, ...] = (0,)) -> str:
        """Run a command to its end; return what it said."""
        start = time.monotonic()
        code, changes = self._start(words, 0, None)
        if code == 0:
            self._usual[kind] = time.monotonic() - start, changes
        said = self._said.read_text(encoding="utf-8", errors="replace")
        assert code in expected and "Traceback" not in said, (kind, words, code, said)
        return said

    def kill(self, kind: str, words: list[object]) -> bool:
        """Run a command and kill it on the way; false if it had ended before."""
        seconds, changes = self._usual.get(kind, (0.5, 8))  # until it was run to its end
        way = self.rng.randrange(3)
        if way == 0:
            code, _ = self._start(words, 0, self.rng.uniform(0, seconds))
        else:
            first = 1 if way == 1 else max(1, changes - 7)
            code, _ = self._start(words, self.rng.randint(first, changes), None)
        self.kills += code == -signal.SIGKILL
        return code == -signal.SIGKILL

    def _start(self, words: list[object], deadly: int, seconds: float | None) -> tuple[int, int]:
        assert self._server.stdin is not None and self._server.stdout is not None
        print(json.dumps([[str(word) for word in words], str(self._said), deadly]), file=self._server.stdin, flush=True)
        process = int(self._server.stdout.readline())
        if seconds is not None:
            time.sleep(seconds)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        code, changes = json.loads(self._server.stdout.readline())
        return code, changes


@dataclass
class Site:
    """A cohort and versions, and what is known to be in them."""

    folder: Path
    killer: Killer
    cohort: Path
    cases: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    logged: dict[str, int] = field(default_factory=dict)

    def holds(self) -> None:
        """Assert that nothing is lost and nothing is half, whatever was killed."""
        cohort, store = Cohort(self.cohort), VersionStore(self.folder / "site")
        cases = {case.name for case in cohort.cases()}
        assert self.cases - self.leaving <= cases, f"lost: {self.cases - cases}"
        problems = [problem for problem in cohort.check() if "is not in the log" not in problem]
        assert not problems, problems
        versions = {version.name: version for version in store.versions()}
        assert self.versions <= set(versions), f"lost: {self.versions - set(versions)}"
        for version in versions.values():
            self._version_holds(version)
        active = store.active
        assert active is None or active.name in versions
        for log in (cohort.log, store.log):
            count = len(log.entries())  # checks the chain
            assert count >= self.logged.get(str(log.path), 0), f"entries of {log.path} are lost"
            self.logged[str(log.path)] = count
        for model in self.folder.glob("run*/*/model"):
            verify_manifest(model, _MODEL)
        for checkpoint in self.folder.glob("run*/*/checkpoint.pt"):
            load_checkpoint(checkpoint.parent)
        self.cases, self.versions = cases, set(versions)

    @staticmethod
    def _version_holds(version: Version) -> None:
        verify_manifest(version.model, _MODEL)
        assert version.record() is not None

    def is_clean(self) -> None:
        """Assert that the command after a kill left nothing of it."""
        cohort, store = Cohort(self.cohort), VersionStore(self.folder / "site")
        assert cohort.check() == []
        left = [
            *self.cohort.glob(".adding-*"),
            *store.folder.glob("versions/.magpie-*"),
            *store.folder.glob(".active*"),
        ]
        assert not left, left
        named = [entry.details["version"] for entry in store.log.entries() if entry.event in ("promote", "rollback")]
        assert store.active_name == (named[-1] if named else None), "the log does not say which version is in use"
        added = [entry.details["version"] for entry in store.log.entries() if entry.event == "add"]
        assert sorted(added) == sorted(self.versions), "the log does not say which versions were added"


def killed(site: Site, kind: str, words: list[object], *, kills: int, expected: tuple[int, ...] = (0,)) -> str:
    """Kill a command so many times, checking the site each time, then run it to its end."""
    for _ in range(kills):
        was_killed = site.killer.kill(kind, words)
        site.holds()
        if not was_killed:
            break
    said = site.killer.run(kind, words, expected=expected)
    site.holds()
    site.is_clean()
    return said
