"""A study goes to the worker as files, and its result comes back as files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from magpie_core.imaging.modality import Modality
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.models.model import load_model


@pytest.fixture
def job(tmp_path, make_study, tiny_model):
    folder = tmp_path / "a study with ümlauts 脑"
    folder.mkdir()
    inputs = {}
    for modality, volume in make_study().volumes.items():
        inputs[modality.value] = str(folder / f"{modality.value}.nii.gz")
        write_volume(volume, folder / f"{modality.value}.nii.gz")
    return {
        "kind": "segment",
        "images": inputs,
        "output": str(folder / "result"),
        "name": "phantom",
        "model": str(tiny_model),
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
    }


def test_the_result_is_that_of_the_same_process(make_client, wait_for, job, tiny_model):
    client = make_client()
    identifier = client.submit(job)
    messages = wait_for(client, "result", "error", job=identifier)
    result = messages[-1]
    assert result["type"] == "result", result
    study = read_study({Modality(name): path for name, path in job["images"].items()}, name="phantom")
    expected = segment_study(study, load_model(tiny_model), device="cpu", precision="fp32", threads=1)
    found = read_segmentation(result["segmentation"])
    assert expected.segmentation.labels.any()
    np.testing.assert_array_equal(found.labels, expected.segmentation.labels)
    np.testing.assert_allclose(found.affine, expected.segmentation.affine)
    report = json.loads(Path(result["report"]).read_text(encoding="utf-8"))
    assert report["study"] == "phantom"
    assert report["model"]["sha256"] == expected.model_hash
    reported = [message for message in messages if message["type"] == "progress"]
    fractions = [message["fraction"] for message in reported]
    assert fractions == sorted(fractions)
    assert len({message["stage"] for message in reported}) >= 4
    assert {message["text"] for message in messages if message["type"] == "warning"} == set(report["warnings"])


def test_the_model_stays_warm_until_its_folder_changes(make_client, end_of, job, tiny_model):
    client = make_client()
    weights, manifest = tiny_model / "weights.safetensors", tiny_model / "manifest.json"
    kept = weights.read_bytes(), manifest.read_bytes()
    assert end_of(client, client.submit(job))["type"] == "result"
    try:
        weights.write_bytes(b"damaged")
        warm = end_of(client, client.submit({**job, "output": job["output"] + " 2"}))
        assert warm["type"] == "result", "the model was loaded a second time"
        manifest.write_bytes(kept[1] + b"\n")
        changed = end_of(client, client.submit({**job, "output": job["output"] + " 3"}))
        assert changed["kind"] == "ModelError"
    finally:
        weights.write_bytes(kept[0])
        manifest.write_bytes(kept[1])
    assert end_of(client, client.submit({**job, "output": job["output"] + " 4"}))["type"] == "result"


def test_a_cancelled_job_leaves_nothing_behind(make_client, wait_for, end_of, job, tmp_path):
    client = make_client(cancel_grace_s=120)
    identifier = client.submit(job)
    wait_for(client, "progress", job=identifier)
    client.cancel(identifier)
    assert end_of(client, identifier)["kind"] == "Cancelled"
    files = {path.name for path in (tmp_path / "a study with ümlauts 脑").iterdir()}
    assert files == {f"{name}.nii.gz" for name in job["images"]}


def test_a_model_that_does_not_exist_is_an_answer(make_client, end_of, job):
    client = make_client()
    end = end_of(client, client.submit({**job, "model": "/no/such/model"}))
    assert end["kind"] == "ModelError"
    assert end["remedy"]


def test_the_computer_describes_itself(make_client, end_of):
    client = make_client()
    end = end_of(client, client.submit({"kind": "describe_computer"}))
    assert end["type"] == "result", end
    assert end["computer"]["cpu_threads"] >= 1
    assert isinstance(end["computer"]["cuda"], list)
