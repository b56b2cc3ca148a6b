"""The messages between panel and worker."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from magpie_core.errors import InputError
from magpie_core.worker import protocol
from magpie_core.worker.protocol import ProtocolError, decode, encode

MESSAGES = [
    protocol.message("hello", pid=7, magpie="0.1", python="3.12"),
    protocol.message("job", id="job-1", kind="segment", inputs={"T1": "/a b/t1.nii.gz"}, output="/out", model=None),
    protocol.progress("job-1", 0.25, "Looking for the tumor"),
    protocol.message("warning", id="job-1", text="There is no T1 with contrast."),
    protocol.message("result", id="job-1", segmentation="/out/segmentation.nii.gz"),
    protocol.error("job-1", InputError("It is empty", cause="all zero", remedy="Choose another", source="t1.nii")),
    protocol.error(None, ProtocolError("A line is not a message")),
    protocol.message("heartbeat", id=None),
    protocol.message("cancel", id="job-1"),
    protocol.message("shutdown"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["type"])
def test_a_message_survives_the_line(message):
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == message


@pytest.mark.parametrize("path", ["/Üñí/脑 肿瘤/t1.nii.gz", 'a "quoted"\nname', "\udcff not UTF-8"])
def test_any_path_survives_the_line(path):
    line = encode(protocol.message("job", id="job-1", kind="segment", inputs={"T1": path}))
    assert decode(line)["inputs"]["T1"] == path
    assert line.isascii()


def test_an_error_carries_what_the_user_needs():
    message = protocol.error("job-1", InputError("It is empty", cause="all zero", remedy="Choose another", source="x"))
    assert message["kind"] == "InputError"
    assert (message["what"], message["cause"], message["remedy"]) == ("It is empty", "all zero", "Choose another")
    assert message["source"] == "x"


@pytest.mark.parametrize(("fraction", "expected"), [(-1, 0), (0.5, 0.5), (3, 1)])
def test_progress_stays_between_nothing_and_all(fraction, expected):
    assert protocol.progress("job-1", fraction, "")["fraction"] == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"loading weights...\n", "not JSON"),
        (b"\xff\xfe\n", "not JSON"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b"[1, 2]\n", "not a JSON object"),
        (b'{"type":"heartbeat"}\n', "version"),
        (b'{"v":3,"type":"heartbeat"}\n', "version"),
        (b'{"v":2,"type":"dance"}\n', "'dance'"),
        (b'{"v":2,"type":["job"]}\n', "unknown type"),
        (b'{"v":2}\n', "unknown type"),
        (b'{"v":2,"type":"job","kind":"segment"}\n', "'id' is missing"),
        (b'{"v":2,"type":"progress","id":"a","fraction":"half","stage":""}\n', "'fraction'"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(line, words):
    with pytest.raises(ProtocolError, match=f"(?i){words}"):
        decode(line)


def test_fields_of_a_later_release_are_let_through():
    assert decode(b'{"v":2,"type":"heartbeat","mood":"good"}')["mood"] == "good"


def test_the_identifier_of_a_bad_line_is_found_if_there_is_one():
    assert protocol.identifier_of(b'{"v":9,"id":"job-3"}') == "job-3"
    for line in (b"nonsense", b"[]", b'{"id":5}'):
        assert protocol.identifier_of(line) is None


def test_numbers_that_json_does_not_know_are_not_written():
    with pytest.raises(ValueError, match="JSON"):
        encode(protocol.message("result", id="job-1", volume_ml=float("nan")))


def test_the_panel_side_needs_nothing_but_python():
    code = (
        "import sys, json, magpie_core.worker.client, magpie_core.io.file_names\n"
        "print(json.dumps([name for name in sys.modules if name in ('torch', 'numpy', 'nibabel', 'monai')]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == []
