"""A run folder: of one training, and locked for one process at a time."""

import json
import subprocess
import sys
import textwrap

import pytest

from magpie_core.errors import InputError, ResourceError
from magpie_core.training.run_folder import open_run

SETTINGS = {"starting model": "abc", "cases": ["one", "two"]}
OUTPUTS = ("fold*", "checkpoint*.pt")


def _start(folder, settings=SETTINGS, **options):
    with open_run(folder, settings, outputs=OUTPUTS, **options):
        (folder / "checkpoint.pt").touch()
        (folder / "fold0").mkdir(exist_ok=True)


def test_run_is_resumed_with_the_same_settings(tmp_path):
    folder = tmp_path / "new" / "run"
    _start(folder)
    _start(folder)
    assert json.loads((folder / "run.json").read_text()) == SETTINGS


def test_other_settings_are_refused_by_name(tmp_path):
    _start(tmp_path)
    with pytest.raises(InputError, match=r"started with other settings: cases\b"):
        _start(tmp_path, SETTINGS | {"cases": ["one", "three"]})
    assert json.loads((tmp_path / "run.json").read_text()) == SETTINGS and (tmp_path / "fold0").is_dir()


def test_run_without_settings_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(InputError, match="no run.json"):
        _start(tmp_path)


def test_restart_removes_the_outputs_and_keeps_the_rest(tmp_path):
    _start(tmp_path)
    (tmp_path / "buffer").mkdir()
    with open_run(tmp_path, SETTINGS | {"cases": []}, outputs=OUTPUTS, restart=True):
        assert {path.name for path in tmp_path.iterdir()} == {".lock", "run.json", "buffer"}


def test_settings_may_change_before_there_are_outputs(tmp_path):
    with open_run(tmp_path, SETTINGS, outputs=OUTPUTS):
        pass
    _start(tmp_path, {"cases": []})
    assert json.loads((tmp_path / "run.json").read_text()) == {"cases": []}


def test_second_process_is_refused_until_the_first_ends_or_is_killed(tmp_path):
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from magpie_core.training.run_folder import open_run
        with open_run(Path(sys.argv[1]), {}, outputs=()):
            print("open", flush=True)
            time.sleep(60)
        """
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ResourceError, match="running in this folder"), open_run(tmp_path, {}, outputs=()):
            pass
    finally:
        other.kill()
        other.wait()
    with open_run(tmp_path, {}, outputs=()):
        pass


def test_file_instead_of_a_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"), open_run(tmp_path / "file", {}, outputs=()):
        pass
