"""Workers for the tests: real child processes, some with a fault built in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from magpie_core.worker.client import WorkerClient

Message = dict[str, Any]


@pytest.fixture
def make_client(tmp_path: Path) -> Iterator[Callable[..., WorkerClient]]:
    """Makes clients that are closed after the test.

    `fault` is Python code that runs when the child process starts: it may patch the worker from within, which
    is how a crash, a hang or a chatty library comes into a real process.
    """
    clients: list[WorkerClient] = []

    def make(*, fault: str = "", **options: Any) -> WorkerClient:
        environment = {"OMP_NUM_THREADS": "1", **options.pop("environment", {})}
        if fault:
            folder = tmp_path / f"fault-{len(clients)}"
            folder.mkdir()
            (folder / "sitecustomize.py").write_text(dedent(fault), encoding="utf-8")
            environment["PYTHONPATH"] = str(folder)
        options.setdefault("folder", tmp_path)
        client = WorkerClient(environment=environment, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def wait_for() -> Callable[..., list[Message]]:
    """Polls a client until a message of a type (and job) arrives; returns the messages up to then."""
    kept: dict[int, list[Message]] = {}

    def wait(client: WorkerClient, *types: str, job: str | None = None, timeout_s: float = 120) -> list[Message]:
        inbox = kept.setdefault(id(client), [])
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            inbox += client.poll()
            for index, message in enumerate(inbox):
                if message["type"] in types and (job is None or message["id"] == job):
                    taken, inbox[:] = inbox[: index + 1], inbox[index + 1 :]
                    return taken
            time.sleep(0.02)
        raise AssertionError(f"no {' or '.join(types)} within {timeout_s} s, only {inbox}")

    return wait


@pytest.fixture
def end_of(wait_for: Callable[..., list[Message]]) -> Callable[..., Message]:
    """The message that ends a job."""
    return lambda client, job, **options: wait_for(client, "result", "error", job=job, **options)[-1]
