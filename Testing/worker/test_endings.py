"""A worker that is dropped, or whose panel was killed, leaves no process and no folder; its death is explained."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import psutil
import pytest

from magpie_core.worker import private_folder, worker_process
from magpie_core.worker.client import WorkerClient
from magpie_core.worker.death import describe_death
from magpie_core.worker.private_folder import PrivateFolder, remove_abandoned
from magpie_core.worker.protocol import PRIVATE_FOLDER_PREFIX


@pytest.fixture
def make_old(monkeypatch):
    """Lets every private folder pass for an old one."""
    monkeypatch.setattr(private_folder, "_NEW_S", -1.0)


def test_a_client_that_is_dropped_leaves_no_process_and_no_folder(tmp_path):
    client = WorkerClient(folder=tmp_path)
    client.submit({"kind": "describe_computer"})
    while not any(message["type"] == "result" for message in client.poll()):
        time.sleep(0.1)
    pid = client.pid
    assert psutil.pid_exists(pid)
    del client
    gc.collect()
    for _ in range(100):
        if not psutil.pid_exists(pid):
            break
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)
    assert list(tmp_path.iterdir()) == []


def test_folders_of_a_killed_panel_are_removed_at_the_next_start(tmp_path, make_old):
    code = "import sys, time; from magpie_core.worker.private_folder import PrivateFolder as P; p = P(sys.argv[1])\n"
    code += "(p.path / 'image.nii').touch(); print(flush=True); time.sleep(60)"
    panel = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    panel.stdout.readline()
    remove_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1, "the folder of a panel that lives must stay"
    panel.kill()
    panel.wait()
    panel.stdout.close()
    mine = PrivateFolder(tmp_path)
    assert list(tmp_path.iterdir()) == [mine.path]
    remove_abandoned(tmp_path)
    assert mine.path.is_dir()
    mine.remove()
    assert list(tmp_path.iterdir()) == []


def test_only_folders_of_panels_are_removed(tmp_path, make_old):
    for name in ("other", f"{PRIVATE_FOLDER_PREFIX}without-a-lock"):
        (tmp_path / name).mkdir()
    remove_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("exit_code", "lines", "words"),
    [
        (
            1,
            ["Fatal Python error: Segmentation fault", "", "error: [/x/python-real] exit abnormally - Report"],
            "crash",
        ),
        (1, ["Windows fatal exception: access violation", "Thread 0x1"], "a library crashed"),
        (1, ["Windows fatal exception: code 0xc000001d"], "instruction that this CPU does not have"),
        (1, ["Fatal Python error: Illegal instruction"], "instruction that this CPU does not have"),
        (1, ["error: [/opt/Slicer/bin/python-real] exit abnormally - Report the problem."], "memory ran out"),
        (1, ["ModuleNotFoundError: No module named 'monai'"], "No module named 'monai'"),
        (1, ["ValueError: a plain error"], "exit code 1, ValueError"),
        (-9, [], "memory ran out"),
        (0xC0000005, [], "a library crashed"),
    ],
)
def test_the_cause_of_a_death_is_read_from_the_log_behind_a_launcher(exit_code, lines, words):
    assert words in describe_death(exit_code, lines, Path("worker.log")).cause


@pytest.mark.skipif(os.name != "posix", reason="a launcher written for a shell")
def test_a_crash_behind_a_launcher_is_named(make_client, end_of, tmp_path):
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n{sys.executable} "$@" || exit 1\n', encoding="utf-8")
    launcher.chmod(0o700)
    fault = "from magpie_core.worker import jobs\nimport os, signal\n"
    fault += "jobs.Jobs.run = lambda *a, **o: os.kill(os.getpid(), signal.SIGSEGV)"
    client = make_client(python=launcher, fault=fault)
    end = end_of(client, client.submit({"kind": "describe_computer"}))
    assert end["exit_code"] == 1
    assert "a library crashed (Fatal Python error: Segmentation fault" in end["cause"]


def test_windows_shows_no_console_when_a_worker_is_killed(monkeypatch):
    calls = []

    class Process:
        pid = 7
        poll = staticmethod(lambda: None)
        kill = staticmethod(lambda: None)
        wait = staticmethod(lambda timeout: None)

    monkeypatch.setattr(worker_process, "os", types.SimpleNamespace(name="nt"))
    monkeypatch.setattr(worker_process, "_NO_WINDOW", 0x08000000)
    monkeypatch.setattr(worker_process.subprocess, "run", lambda command, **options: calls.append((command, options)))
    worker_process._kill(Process())
    ((command, options),) = calls
    assert command[0] == "taskkill" and options["creationflags"] == 0x08000000


def test_jobs_go_to_another_python_from_the_next_one_on(make_client, wait_for, end_of):
    client = make_client()
    end_of(client, client.submit({"kind": "describe_computer"}))
    before, folder = client.pid, client.folder
    client.use(sys.executable)
    assert client.pid == before
    inherited = {**os.environ, "MAGPIE_TEST_MARK": "1"}
    client.use([sys.executable, "-X", "utf8"], inherited=inherited)
    job = client.submit({"kind": "describe_computer"})
    process = psutil.Process(client.pid)
    while not process.cmdline():
        time.sleep(0.1)
    assert process.cmdline()[1:3] == ["-X", "utf8"] and process.environ()["MAGPIE_TEST_MARK"] == "1"
    client.use(sys.executable)
    assert client.pid == process.pid, "a job runs"
    assert end_of(client, job)["type"] == "result"
    assert client.folder == folder and not psutil.pid_exists(before)
