"""Errors: message, plain values, exit codes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from magpie_core.errors import Cancelled, InputError, MagpieError, ModelError, ResourceError, errors_about


def test_the_message_names_source_cause_and_remedy() -> None:
    error = InputError("The file is cut short", cause="it ends early", remedy="Copy it again", source="t1.nii.gz")
    assert str(error) == "t1.nii.gz: The file is cut short. It ends early. Copy it again."


def test_a_file_name_at_the_start_of_a_sentence_keeps_its_case() -> None:
    assert "t1.nii.gz and t1_b.nii.gz." in str(InputError("Two", cause="t1.nii.gz and t1_b.nii.gz"))


def test_every_error_class_has_its_exit_code() -> None:
    kinds = (MagpieError, InputError, ModelError, ResourceError, Cancelled)
    assert [kind.exit_code for kind in kinds] == [1, 3, 4, 5, 130]


def test_as_dict_returns_plain_values() -> None:
    assert InputError("what", cause="why", remedy="how", source="where").as_dict() == {
        "kind": "InputError",
        "what": "what",
        "cause": "why",
        "remedy": "how",
        "source": "where",
    }


@pytest.mark.parametrize("error", [InputError("what", cause="why", source="s"), Cancelled()])
def test_errors_survive_pickling(error: MagpieError) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_errors_about_names_the_source_of_an_error_that_names_none() -> None:
    with pytest.raises(InputError) as caught, errors_about(Path("t1.nii.gz")):
        raise InputError("The file is cut short")
    assert caught.value.source == "t1.nii.gz"
    with pytest.raises(InputError) as caught, errors_about("the case"):
        raise InputError("The file is cut short", source="t1.nii.gz")
    assert caught.value.source == "t1.nii.gz"
