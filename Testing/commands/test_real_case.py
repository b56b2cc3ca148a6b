"""The default model on a real case, from the command line to the scores."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from magpie_core.cli import app


def test_the_sample_case_is_segmented_well(cases_folder, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.delenv("MAGPIE_MODELS", raising=False)
    (case,) = (path for path in (cases_folder / "sample").iterdir() if path.is_dir())
    segmented = CliRunner().invoke(app, ["segment", str(case), "-o", str(tmp_path / case.name), "--json"])
    assert segmented.exit_code == 0, segmented.stderr
    (study,) = json.loads(segmented.stdout)["studies"]
    assert study["modalities_missing"] == [] and study["volumes_ml"]["WT"] > 30

    scored = CliRunner().invoke(
        app, ["evaluate", str(tmp_path), str(cases_folder / "sample"), "--reference-schema", "brats-2022", "--json"]
    )
    assert scored.exit_code == 0, scored.stderr
    dice = {region: json.loads(scored.stdout)["mean"][region]["dice"] for region in ("WT", "TC", "ET")}
    assert dice["WT"] > 0.8 and dice["TC"] > 0.7 and dice["ET"] > 0.6, dice
