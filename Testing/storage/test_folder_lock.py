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
