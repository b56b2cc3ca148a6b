"""The audit log: a chain of hashes, append-only, and intact after a crash."""

import json

import pytest

from magpie_core.errors import InputError, ResourceError
from magpie_core.storage.audit_log import AuditLog


@pytest.fixture
def log(tmp_path):
    log = AuditLog(tmp_path / "log.jsonl")
    for number in range(5):
        log.append("add", user="me", case=f"case{number}", note="x" * 3000 * (number == 2))
    return log


def test_entries_come_back_in_order(log):
    assert [entry.details["case"] for entry in log.entries()] == [f"case{n}" for n in range(5)]
    assert [entry.number for entry in log.entries()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("line", range(5))
def test_a_changed_byte_is_detected_and_its_line_named(log, line):
    lines = log.path.read_text().splitlines(keepends=True)
    lines[line] = lines[line].replace(f"case{line}", "case9")
    log.path.write_text("".join(lines))
    with pytest.raises(InputError, match=f"Line {line + 1} "):
        log.entries()


def test_a_removed_and_a_moved_line_are_detected(log):
    lines = log.path.read_text().splitlines(keepends=True)
    for changed in (lines[:1] + lines[2:], [lines[1], lines[0], *lines[2:]]):
        log.path.write_text("".join(changed))
        with pytest.raises(InputError, match="Line"):
            log.entries()


def test_a_forged_line_does_not_match_the_next(log):
    lines = log.path.read_text().splitlines(keepends=True)
    forged = AuditLog(log.path.with_name("forged.jsonl"))
    forged.append("add", user="someone else", case="case0")
    log.path.write_text(forged.path.read_text() + "".join(lines[1:]))
    with pytest.raises(InputError, match="Line 2"):
        log.entries()


def test_an_incomplete_last_line_is_no_entry_and_is_replaced(log):
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + b'{"number": 6, "who"')
    assert len(log.entries()) == 5
    log.append("add", user="me", case="case5")
    assert [entry.number for entry in log.entries()] == [1, 2, 3, 4, 5, 6]
    assert log.path.read_bytes().startswith(whole)


def test_append_refuses_to_continue_a_changed_log(log):
    lines = log.path.read_text().splitlines(keepends=True)
    values = json.loads(lines[-1])
    lines[-1] = json.dumps({**values, "who": "someone else"}) + "\n"
    log.path.write_text("".join(lines))
    with pytest.raises(InputError, match="last line|Last line|Its last line"):
        log.append("add", user="me")


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ResourceError, match=r"log\.jsonl"):
        AuditLog(tmp_path / "nowhere" / "log.jsonl").append("add", user="me")
