"""The lock of a folder: one process at a time, and gone with the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from magpie_core.errors import ResourceError
from magpie_core.storage.folder_lock import locked_folder

HOLD = """
import sys
from pathlib import Path
from magpie_core.storage.folder_lock import locked_folder
with locked_folder(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        with (
            pytest.raises(ResourceError, match="Another batch writes to this folder") as caught,
            locked_folder(folder, "Another batch writes to this folder"),
        ):
            pass
        holder.kill()
        holder.wait()
    assert caught.value.source == str(folder)
    with locked_folder(folder, "busy"):
        pass


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked_folder(tmp_path, "busy"):
        raise KeyError
    with locked_folder(tmp_path, "busy"):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="Cannot lock the folder"), locked_folder(tmp_path / "file", "busy"):
        pass


NO_FLOCK = """
import errno, fcntl, os
def flock(descriptor, operation):
    raise OSError({code}, os.strerror({code}))
fcntl.flock = flock
"""


@pytest.mark.parametrize("code", ["ENOSYS", "ENOLCK", "EOPNOTSUPP", "EINVAL"])
def test_a_file_is_the_lock_where_the_file_system_has_none(tmp_path: Path, monkeypatch, code: str) -> None:
    """Held by one process at a time, and taken over from a killed one; also beside a lock that was used before."""
    import errno
    import fcntl

    number = getattr(errno, code)
    with locked_folder(tmp_path, "busy"):
        pass  # leaves .lock, as from a computer whose file system has locks

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(number, code)

    monkeypatch.setattr(fcntl, "flock", flock)
    command = [sys.executable, "-c", NO_FLOCK.format(code=number) + HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(ResourceError, match=r"Busy.*delete .*lock-held"), locked_folder(tmp_path, "busy"):
            pass
        holder.kill()
        holder.wait()
    with locked_folder(tmp_path, "busy"):
        assert (tmp_path / ".lock-held").exists()
    assert not (tmp_path / ".lock-held").exists()


def test_a_lock_file_of_another_computer_is_respected_and_named(tmp_path: Path, monkeypatch) -> None:
    import errno
    import fcntl

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / ".lock-held").write_text("1\nanother-computer\n")
    with pytest.raises(ResourceError, match="on any computer"), locked_folder(tmp_path, "busy"):
        pass


def test_a_disk_error_is_no_missing_lock(tmp_path: Path, monkeypatch) -> None:
    import errno
    import fcntl

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(ResourceError, match="Input/output error"), locked_folder(tmp_path, "busy"):
        pass


def test_a_python_without_the_package_is_told_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(ResourceError, match="'filelock' is missing"), locked_folder(tmp_path, "busy"):
        pass
