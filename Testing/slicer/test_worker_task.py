"""What Slicer's log says about a job: its start and its end, and no name of a volume."""

from __future__ import annotations

import logging
import re

import pytest


class Port:
    """Carries no job; the test speaks for the worker."""

    def submit(self, job, listener):
        self.say = lambda type_, **fields: listener({"id": "1", "type": type_, **fields})
        return "1"


@pytest.fixture
def port():
    return Port()


@pytest.mark.parametrize(
    ("kind", "fields", "how"),
    [
        ("result", {}, "finished"),
        ("error", {"kind": "Cancelled", "what": "The job was cancelled"}, "cancelled"),
        ("error", {"kind": "InputError", "what": "MUELLER^EVA cannot be read"}, "failed"),
    ],
)
def test_start_and_end_of_a_job_are_logged_without_names(slicer, port, caplog, kind, fields, how):
    from MagpieSegmentationLib.WorkerTask import WorkerTask

    caplog.set_level(logging.INFO)
    task = WorkerTask(port)
    task.start({"kind": "segment", "name": "MUELLER^EVA"})
    port.say(kind, **fields)
    start, end = (record.message for record in caplog.records)
    assert start == "MAGPIE: job segment started"
    assert re.fullmatch(rf"MAGPIE: job segment {how} after \d+\.\d s", end)


def test_job_of_a_closed_scene_is_logged_as_dropped(slicer, port, caplog):
    from MagpieSegmentationLib.WorkerTask import WorkerTask

    caplog.set_level(logging.INFO)
    task = WorkerTask(port)
    task.start({"kind": "sample"})
    task.forget()
    assert "job sample dropped" in caplog.records[-1].message
