"""A worker as its panel lives with it: started, asked, cancelled, killed, gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from magpie_core.worker import protocol
from magpie_core.worker.client import WorkerClient

REPOSITORY = Path(__file__).resolve().parents[2]
NO_FILE = {"kind": "segment", "images": {"T1": "/no/such/t1.nii.gz"}, "output": "/nowhere"}

# What the worker's jobs are replaced by in some tests.
SLOW = """
    import time
    from magpie_core.worker import jobs
    def run(self, job, *, progress, warn):
        warn("This takes long.")
        for step in range(600):
            progress(step / 600, "Waiting")
            time.sleep(0.05)
        return {}
    jobs.Jobs.run = run
"""
DEAF = """
    import time
    from magpie_core.worker import jobs
    def run(self, job, *, progress, warn):
        progress(0.1, "Not listening")
        if job["kind"] == "segment":
            time.sleep(600)
        return {"done": True}
    jobs.Jobs.run = run
"""


def gone(pid: int, timeout_s: float = 20) -> bool:
    """Whether a process ends in time; one that nobody collects counts as ended."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_a_worker_says_hello_and_gives_signs_of_life(make_client, wait_for, end_of):
    client = make_client()
    job = client.submit(NO_FILE)
    messages = wait_for(client, "error", job=job)
    assert messages[0]["type"] == "hello"
    assert messages[0]["pid"] == client.pid != os.getpid()
    assert wait_for(client, "heartbeat")[-1]["type"] == "heartbeat"


def test_a_fault_of_the_input_comes_back_with_cause_and_remedy(make_client, end_of):
    client = make_client()
    end = end_of(client, client.submit(NO_FILE))
    assert end["kind"] == "InputError"
    assert end["what"]
    assert end["remedy"]
    assert "t1.nii.gz" in end["source"]
    assert not client.busy


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"kind": "dance"}, "dance"),
        ({"kind": "segment"}, "cannot be used"),
        ({"kind": "segment", "images": {"T9": "/x"}, "output": "/y"}, "T9"),
        ({"kind": "segment", "images": ["/x"], "output": "/y"}, "cannot be used"),
    ],
)
def test_a_job_that_makes_no_sense_is_answered_and_the_next_one_done(make_client, end_of, job, words):
    client = make_client()
    first = end_of(client, client.submit(job))
    pid = client.pid
    assert first["kind"] == "InputError"
    assert words in first["what"] + first["cause"]
    assert end_of(client, client.submit(NO_FILE))["kind"] == "InputError"
    assert client.pid == pid


def test_jobs_are_done_in_turn_by_one_process(make_client, end_of):
    client = make_client()
    first, second = client.submit(NO_FILE), client.submit(NO_FILE)
    assert first != second
    assert end_of(client, first)["id"] == first
    assert end_of(client, second)["id"] == second


def test_what_libraries_print_does_not_reach_the_channel(make_client, wait_for, end_of):
    client = make_client(
        fault="""
        import ctypes, os, threading, time
        def chatter():
            libc = ctypes.CDLL(None) if os.name == "posix" else None
            while True:
                print("print from Python")
                os.write(1, b"written to file descriptor 1\\n")
                if libc is not None:
                    libc.puts(b"puts from C")
                time.sleep(0.001)
        from magpie_core.worker import server
        start = server.Server.run
        def run(self):
            threading.Thread(target=chatter, daemon=True).start()
            start(self)
        server.Server.run = run
        """
    )
    messages = wait_for(client, "error", job=client.submit(NO_FILE))
    assert {message.get("kind") for message in messages if message["type"] == "error"} == {"InputError"}
    assert "written to file descriptor 1" in client.log.read_text(encoding="utf-8")


def test_noise_before_the_start_does_no_harm(make_client, end_of):
    client = make_client(fault='print("a banner that some environments print")')
    assert end_of(client, client.submit(NO_FILE))["kind"] == "InputError"


def test_an_unexpected_failure_gives_one_line_and_the_log(make_client, end_of):
    client = make_client(
        fault="""
        from magpie_core.worker import jobs
        def run(self, job, *, progress, warn):
            raise RuntimeError("the third wheel\\ncame off")
        jobs.Jobs.run = run
        """
    )
    end = end_of(client, client.submit({"kind": "describe_computer"}))
    assert end["cause"] == "RuntimeError: the third wheel"
    assert str(client.log) in end["remedy"]
    assert "Traceback" not in str(end)
    assert "Traceback" in client.log.read_text(encoding="utf-8")
    assert end_of(client, client.submit({"kind": "describe_computer"}))["kind"] == "MagpieError"


def test_a_missing_package_is_named(make_client, end_of):
    client = make_client(fault='import sys; sys.modules["torch"] = None')
    end = end_of(client, client.submit({"kind": "describe_computer"}))
    assert end["kind"] == "ResourceError"
    assert "'torch'" in end["what"]
    assert "nstall" in end["remedy"]


def test_progress_and_warnings_arrive_while_the_job_runs(make_client, wait_for):
    client = make_client(fault=SLOW)
    job = client.submit({"kind": "segment"})
    messages = wait_for(client, "progress", job=job) + wait_for(client, "progress", job=job)
    reported = [message["fraction"] for message in messages if message["type"] == "progress"]
    assert reported == sorted(reported)
    assert [message["text"] for message in messages if message["type"] == "warning"] == ["This takes long."]
    assert client.busy


def test_cancelling_ends_the_job_and_keeps_the_worker(make_client, wait_for, end_of):
    client = make_client(fault=SLOW, cancel_grace_s=30)
    job = client.submit({"kind": "segment"})
    waiting = client.submit({"kind": "segment"})
    wait_for(client, "progress", job=job)
    pid = client.pid
    client.cancel(waiting)
    client.cancel(job)
    client.cancel(job)
    assert end_of(client, job)["kind"] == "Cancelled"
    assert end_of(client, waiting)["kind"] == "Cancelled"
    assert client.pid == pid
    assert not client.busy


def test_a_job_that_does_not_listen_is_ended_by_force(make_client, wait_for, end_of):
    client = make_client(fault=DEAF, cancel_grace_s=0.5)
    job = client.submit({"kind": "segment"})
    wait_for(client, "progress", job=job)
    pid = client.pid
    client.cancel(job)
    assert end_of(client, job)["kind"] == "Cancelled"
    assert gone(pid)
    assert end_of(client, client.submit({"kind": "describe_computer"}))["done"]
    assert client.pid != pid


def test_cancelling_what_has_ended_does_nothing(make_client, end_of):
    client = make_client()
    job = client.submit(NO_FILE)
    end_of(client, job)
    client.cancel(job)
    client.cancel("job-99")
    assert end_of(client, client.submit(NO_FILE))["kind"] == "InputError"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_worker_is_reported_and_replaced(make_client, wait_for, end_of):
    client = make_client(fault=DEAF)
    job, waiting = client.submit({"kind": "segment"}), client.submit({"kind": "describe_computer"})
    wait_for(client, "progress", job=job)
    os.kill(client.pid, signal.SIGKILL)
    end = end_of(client, job)
    assert (end["kind"], end["exit_code"]) == ("WorkerDied", -9)
    assert "memory" in end["cause"]
    assert "Close other programs" in end["remedy"]
    assert end_of(client, waiting)["kind"] == "WorkerDied"
    assert client.pid is None
    assert end_of(client, client.submit({"kind": "describe_computer"}))["done"]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_crash_in_a_library_is_told_from_a_kill(make_client, end_of):
    client = make_client(
        fault="""
        import os, signal
        from magpie_core.worker import jobs
        def run(self, job, *, progress, warn):
            os.kill(os.getpid(), signal.SIGSEGV)
        jobs.Jobs.run = run
        """
    )
    end = end_of(client, client.submit({"kind": "describe_computer"}))
    assert end["kind"] == "WorkerDied"
    assert "a library crashed" in end["cause"]
    assert "Segmentation fault" in client.log.read_text(encoding="utf-8")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_worker_that_hangs_is_found_out(make_client, wait_for, end_of):
    client = make_client(fault=DEAF, silence_s=4)
    job = client.submit({"kind": "segment"})
    wait_for(client, "progress", job=job)
    os.kill(client.pid, signal.SIGSTOP)
    end = end_of(client, job)
    assert end["kind"] == "WorkerDied"
    assert "no sign of life" in end["cause"]


def test_a_job_that_ends_the_process_is_reported_with_the_exit_code(make_client, end_of):
    client = make_client(
        fault="""
        import os, sys
        from magpie_core.worker import jobs
        def run(self, job, *, progress, warn):
            print("the license has expired", file=sys.stderr, flush=True)
            os._exit(3)
        jobs.Jobs.run = run
        """
    )
    end = end_of(client, client.submit({"kind": "describe_computer"}))
    assert "exit code 3" in end["cause"]
    assert "the license has expired" in end["cause"]


def test_a_python_that_does_not_exist_is_reported(make_client, end_of):
    client = make_client(python="/no/such/PythonSlicer")
    end = end_of(client, client.submit({"kind": "describe_computer"}))
    assert end["kind"] == "WorkerNotStarted"
    assert "/no/such/PythonSlicer" in end["source"]
    assert end["remedy"]


def test_an_installation_without_the_package_is_reported(make_client, end_of):
    client = make_client(fault='import sys; sys.modules["magpie_core.worker.server"] = None')
    end = end_of(client, client.submit({"kind": "describe_computer"}))
    assert end["kind"] == "WorkerDied"
    assert "magpie_core" in end["cause"]


def test_closing_ends_the_process_and_removes_the_private_folder(make_client, end_of):
    client = make_client()
    assert client.folder.is_dir()
    if os.name == "posix":
        assert client.folder.stat().st_mode & 0o077 == 0
    (client.folder / "t1.nii").write_bytes(b"patient")
    end_of(client, client.submit(NO_FILE))
    pid = client.pid
    client.close()
    client.close()
    assert gone(pid)
    assert not client.folder.exists()
    with pytest.raises(RuntimeError, match="closed"):
        client.submit(NO_FILE)


def test_closing_does_not_wait_for_a_job_that_does_not_listen(make_client, wait_for):
    client = make_client(fault=DEAF)
    wait_for(client, "progress", job=client.submit({"kind": "segment"}))
    pid = client.pid
    client.close(grace_s=0.5)
    assert gone(pid)
    assert not client.folder.exists()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("fault", [SLOW, DEAF], ids=["listening", "deaf"])
def test_a_worker_whose_panel_was_killed_ends_and_leaves_no_images(make_client, fault, tmp_path):
    fault_folder = make_client(fault=fault)._environment["PYTHONPATH"]
    code = f"""
import time
from magpie_core.worker import protocol
from magpie_core.worker.client import WorkerClient
client = WorkerClient(folder={str(tmp_path)!r}, environment={{"PYTHONPATH": {fault_folder!r}}})
job = client.submit({{"kind": "segment"}})
while not any(message["type"] == "progress" for message in client.poll()):
    time.sleep(0.02)
(client.folder / "t1.nii").write_bytes(b"patient")
print(client.pid, client.folder, flush=True)
time.sleep(600)
"""
    panel = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    pid, folder = panel.stdout.readline().split(maxsplit=1)
    panel.kill()
    panel.wait()
    panel.stdout.close()
    assert gone(int(pid))
    assert not Path(folder.strip()).exists()


def test_a_worker_removes_no_folder_that_is_not_a_panels_own(tmp_path):
    folder = tmp_path / "my data"
    folder.mkdir()
    (folder / "t1.nii").write_bytes(b"precious")
    command = [sys.executable, "-m", "magpie_core.worker", "--folder", str(folder)]
    done = subprocess.run(command, input=b"", capture_output=True, cwd=REPOSITORY, timeout=60)
    assert done.returncode == 0
    assert (folder / "t1.nii").read_bytes() == b"precious"


def test_lines_that_are_no_messages_are_answered_and_the_worker_goes_on(tmp_path):
    lines = b"".join(
        [
            b"nonsense\n",
            b'{"v":7,"type":"job","id":"from-the-future","kind":"segment"}\n',
            b'{"v":2,"type":"dance","id":"a"}\n',
            b'{"v":2,"type":"hello","pid":1,"magpie":"","python":""}\n',
            b'{"v":2,"type":"job","id":"b","kind":"dance"}\n',
            b'{"v":2,"type":"shutdown"}\n',
        ]
    )
    worker = subprocess.Popen(
        [sys.executable, "-m", "magpie_core.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
    )
    output, _ = worker.communicate(lines, timeout=60)
    answers = [protocol.decode(line) for line in output.splitlines()]
    errors = [(answer["id"], answer["kind"]) for answer in answers if answer["type"] == "error"]
    reported = [(identifier, kind) for identifier, kind in errors if kind == "ProtocolError"]
    assert reported == [
        (None, "ProtocolError"),
        ("from-the-future", "ProtocolError"),
        ("a", "ProtocolError"),
        (None, "ProtocolError"),
    ]
    assert [identifier for identifier, kind in errors if kind != "ProtocolError"] == ["b"]
    assert worker.returncode == 0


def test_a_folder_with_any_name_will_do(tmp_path, end_of):
    folder = tmp_path / "Ärztin Ökonom" / "脑 肿瘤"
    folder.mkdir(parents=True)
    with WorkerClient(folder=folder) as client:
        missing = client.folder / "t1 é.nii.gz"
        end = end_of(client, client.submit({**NO_FILE, "images": {"T1": str(missing)}}))
    assert end["source"] == str(missing)
    assert not any(folder.iterdir())


def test_a_stray_file_in_the_current_folder_is_not_imported(make_client, end_of, tmp_path, monkeypatch):
    (tmp_path / "argparse.py").write_text("raise SystemExit(9)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    client = make_client()
    assert end_of(client, client.submit(NO_FILE))["kind"] == "InputError"
