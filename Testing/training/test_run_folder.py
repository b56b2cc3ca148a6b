"""A run folder is of one training, and of one process at a time."""

import json
import subprocess
import sys
import textwrap

import pytest

from magpie_core.errors import InputError, ResourceError
from magpie_core.training.run_folder import open_run

TOLD = {"starting model": "abc", "cases": ["one", "two"]}
LEARNED = ("fold*", "checkpoint*.pt")


def _begin(folder, told=TOLD, **options):
    with open_run(folder, told, learned=LEARNED, **options):
        (folder / "checkpoint.pt").touch()
        (folder / "fold0").mkdir(exist_ok=True)


def test_a_training_goes_on_as_what_it_was_begun(tmp_path):
    folder = tmp_path / "new" / "run"
    _begin(folder)
    _begin(folder)
    assert json.loads((folder / "run.json").read_text()) == TOLD


def test_another_training_is_refused_with_what_differs(tmp_path):
    _begin(tmp_path)
    with pytest.raises(InputError, match=r"another training.*: cases\b"):
        _begin(tmp_path, TOLD | {"cases": ["one", "three"]})
    assert json.loads((tmp_path / "run.json").read_text()) == TOLD and (tmp_path / "fold0").is_dir()


def test_one_that_does_not_say_of_what_it_is_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(InputError, match="does not say"):
        _begin(tmp_path)


def test_begun_anew_what_was_learned_goes_and_the_rest_stays(tmp_path):
    _begin(tmp_path)
    (tmp_path / "ring").mkdir()
    with open_run(tmp_path, TOLD | {"cases": []}, learned=LEARNED, anew=True):
        assert {path.name for path in tmp_path.iterdir()} == {".lock", "run.json", "ring"}


def test_before_anything_was_learned_it_may_become_another(tmp_path):
    with open_run(tmp_path, TOLD, learned=LEARNED):
        pass
    _begin(tmp_path, {"cases": []})
    assert json.loads((tmp_path / "run.json").read_text()) == {"cases": []}


def test_a_second_process_is_refused_until_the_first_ends_or_is_killed(tmp_path):
    program = textwrap.dedent(
        """
        import sys, time
        from pathlib import Path
        from magpie_core.training.run_folder import open_run
        with open_run(Path(sys.argv[1]), {}, learned=()):
            print("open", flush=True)
            time.sleep(60)
        """
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ResourceError, match="running in this folder"), open_run(tmp_path, {}, learned=()):
            pass
    finally:
        other.kill()
        other.wait()
    with open_run(tmp_path, {}, learned=()):
        pass


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"), open_run(tmp_path / "file", {}, learned=()):
        pass
