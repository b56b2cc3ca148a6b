"""The report: volumes, modalities, model, provenance."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pytest

from magpie_core import RESEARCH_USE, __version__
from magpie_core.report.milliliters import format_ml
from magpie_core.report.write import build_report


def test_volumes_are_voxel_counts_times_voxel_volume(study, prediction):
    report = build_report(study, prediction)
    labels = prediction.segmentation.labels
    count = {label: np.count_nonzero(labels == label) * 3e-3 for label in (1, 2, 3)}
    assert report["volumes_ml"] == pytest.approx(
        {
            "NCR": count[1],
            "ED": count[2],
            "ET": count[3],
            "TC": count[1] + count[3],
            "WT": count[1] + count[2] + count[3],
        },
        abs=1e-4,
    )


def test_report_names_modalities_model_and_device(study, prediction):
    report = build_report(study, prediction)
    assert report["study"] == "patient-7"
    assert report["reference"] == "T1CE" and report["spacing_mm"] == [1.0, 1.0, 3.0]
    assert report["modalities_used"] == ["T1CE", "FLAIR"] and report["modalities_missing"] == ["T1", "T2"]
    assert report["model"] == {"name": "magpie-s 0.1.0", "sha256": "ab" * 32, "license": "Apache-2.0"}
    assert report["device"] == "cpu" and report["precision"] == "fp32"
    assert report["seconds"] == {"network": 1.235}
    assert report["warnings"] == ["There is no T2."]
    assert report["volume_intervals_ml"] == {"ET": [0.1235, 2.5]}
    assert report["suspected_swap"] == {"T1": "T2"}
    assert [doubt["looks_like"] for doubt in report["doubts"]] == ["T2", None]
    assert report["doubts"][0]["score"] == 3.46 and report["doubts"][0]["evidence"] == "T1 looks like T2."
    assert report["statement"] == RESEARCH_USE and report["magpie_version"] == __version__
    assert report["format_version"] == 1


def test_report_describes_the_label_schema(study, prediction):
    schema = build_report(study, prediction)["label_schema"]
    assert schema["name"] == "magpie"
    assert [(item["value"], item["tissue"]) for item in schema["labels"]] == [(1, "NCR"), (2, "ED"), (3, "ET")]


def test_report_is_json_and_names_no_folder(study, prediction):
    text = json.dumps(build_report(study, prediction))
    assert json.loads(text)["files"] == {"T1CE": "t1ce.nii.gz", "FLAIR": "flair.nii.gz"}
    assert "Jane Doe" not in text


def test_creation_time_is_utc(study, prediction):
    created = datetime.fromisoformat(build_report(study, prediction)["created"])
    assert created.utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    ("volume_ml", "text"),
    [(0, "none"), (0.004, "under 0.01 ml"), (0.42, "0.42 ml"), (21.34, "21.3 ml"), (131.7, "132 ml")],
)
def test_format_ml_rounds_to_about_three_digits(volume_ml, text):
    assert format_ml(volume_ml) == text
