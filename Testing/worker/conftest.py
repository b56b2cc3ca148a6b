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

    def wait(
        client: WorkerClient, *types: str, job: str | None = None, timeout_s: float = 120
    ) -> list[Message]:
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


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained model whose output follows the images, so that something is found."""
    import torch

    from magpie_core.models.description import ModelDescription
    from magpie_core.models.model import save_model
    from magpie_core.networks.config import NetworkConfig
    from magpie_core.networks.magpie_net import MagpieNet

    config = NetworkConfig(widths=(4, 8), expert_stages=(1,), experts=4, detail_channels=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = MagpieNet(config)
        with torch.no_grad():
            network.head.weight.normal_()
            network.head.bias.zero_()
            network.detail_head.weight.normal_(std=0.1)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    description = ModelDescription(name="tiny", version="1", licence="Apache-2.0", network=config.to_dict())
    save_model(folder, description, network.state_dict(), card="# tiny")
    return folder
