"""The same study gives the same report through Python, the command line and the worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from magpie_core.app.segment import SegmentRequest, segment
from magpie_core.cli import app
from magpie_core.imaging.modality import Modality
from magpie_core.io.nifti import write_volume
from magpie_core.worker.jobs import Jobs

_DIFFERENT = ("created", "seconds")  # moments and durations


@pytest.fixture
def images(tmp_path: Path, make_study) -> dict[Modality, Path]:
    """A phantom as files."""
    paths = {}
    for modality, volume in make_study().volumes.items():
        paths[modality] = tmp_path / "study" / f"{modality.value.lower()}.nii.gz"
        paths[modality].parent.mkdir(exist_ok=True)
        write_volume(volume, paths[modality])
    return paths


def test_every_front_end_gives_the_same_report(images, tiny_model, tmp_path) -> None:
    options = {"model": str(tiny_model), "device": "cpu", "precision": "fp32", "threads": 1}
    result = segment(SegmentRequest(images=images, name="one", output=tmp_path / "python", **options))

    flags = [text for modality, path in images.items() for text in (f"--{modality.value.lower()}", str(path))]
    given = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    done = CliRunner().invoke(app, ["segment", *flags, "-o", str(tmp_path / "one"), *given])
    assert done.exit_code == 0, done.output

    job = {
        "kind": "segment",
        "images": {modality.value: str(path) for modality, path in images.items()},
        "name": "one",
        "output": str(tmp_path / "worker"),
        **options,
    }
    answer = Jobs().run(job, progress=lambda fraction, stage: None, warn=print)

    reports = [
        dict(result.report),
        json.loads((tmp_path / "one" / "report.json").read_text(encoding="utf-8")),
        json.loads(Path(answer["report"]).read_text(encoding="utf-8")),
    ]
    assert [set(report["seconds"]) for report in reports] == [set(reports[0]["seconds"])] * 3
    assert "read" in reports[0]["seconds"]
    for report in reports:
        for key in _DIFFERENT:
            del report[key]
    assert reports[0] == reports[1] == reports[2]


def test_without_an_output_folder_the_report_is_the_same_and_nothing_is_written(images, tiny_model, tmp_path) -> None:
    request = {"images": images, "name": "one", "model": str(tiny_model), "device": "cpu", "threads": 1}
    written = segment(SegmentRequest(output=tmp_path / "result", **request))
    before = sorted(tmp_path.rglob("*"))
    result = segment(SegmentRequest(**request))
    assert sorted(tmp_path.rglob("*")) == before and result.files == {}
    assert set(result.report) == set(written.report)
    assert result.volumes_ml == written.volumes_ml and result.warnings == written.warnings


def test_a_second_look_at_a_study_in_one_session_prepares_nothing(images, tiny_model, tmp_path, monkeypatch) -> None:
    from magpie_core.preprocessing import preparation_cache

    calls = []
    real = preparation_cache.prepare_study
    monkeypatch.setattr(
        preparation_cache, "prepare_study", lambda study, **options: calls.append(study.name) or real(study, **options)
    )
    jobs = Jobs()
    job = {
        "kind": "segment",
        "images": {modality.value: str(path) for modality, path in images.items()},
        "model": str(tiny_model),
        "device": "cpu",
        "threads": 1,
    }
    for number in range(2):
        output = str(tmp_path / f"result-{number}")
        jobs.run({**job, "output": output}, progress=lambda fraction, stage: None, warn=print)
    assert len(calls) == 1


@pytest.mark.parametrize("option", ["brain_extraction", "series", "orientation", "repair", "order"])
def test_every_reading_option_of_the_command_line_is_a_field_of_the_panels_requests(option) -> None:
    from dataclasses import fields

    from magpie_core.app.attention import AttentionRequest
    from magpie_core.app.explain import ExplainRequest
    from magpie_core.app.requests import build_request

    for kind in (SegmentRequest, ExplainRequest, AttentionRequest):
        assert option in {item.name for item in fields(kind)}
    values = {
        "brain_extraction": "synthstrip",
        "series": {"T1CE": 5},
        "orientation": "qform",
        "repair": True,
        "order": "FLAIR,T1,T1CE,T2",
    }
    request = build_request(SegmentRequest, images="/study", **{option: values[option]})
    assert getattr(request, option) == values[option]


def test_the_methods_that_a_user_may_choose_are_those_that_exist():
    from typing import get_args, get_type_hints

    from magpie_core.app.requests import ComputeRequest
    from magpie_core.preprocessing.brain_extraction import EXTERNAL_METHODS
    from magpie_core.preprocessing.prepared_study import BUILT_IN_BRAIN_EXTRACTION

    offered = get_args(get_type_hints(ComputeRequest)["brain_extraction"])
    assert set(offered) == {BUILT_IN_BRAIN_EXTRACTION, *EXTERNAL_METHODS}
