"""`magpie doctor` says what this computer can do."""

from __future__ import annotations

import json

import pytest


def test_it_finds_the_model_in_order(magpie, models_folder):
    done = magpie("doctor", "--json")
    findings = json.loads(done.stdout)
    assert done.exit_code == 0 and findings["problems"] == []
    assert findings["model"]["verified"] and findings["model"]["name"] == "tiny 1"
    assert findings["model"]["folder"] == str(models_folder / "magpie-s")
    assert {"torch", "monai", "nibabel"} <= set(findings["packages"]) and findings["packages"]["torch"]
    assert findings["computer"]["cpu_threads"] >= 1


def test_it_speaks_plainly(magpie):
    done = magpie("doctor")
    assert done.exit_code == 0 and "This computer can segment studies." in done.stdout
    for title in ("CPU", "Free memory", "GPU", "Fast half precision", "Packages", "Model"):
        assert title in done.stdout


def test_what_is_not_possible_without_a_package_is_said(magpie, monkeypatch):
    from magpie_core.commands import doctor

    version = doctor._version
    lacking = ("SimpleITK", "pydicom")
    monkeypatch.setattr(doctor, "_version", lambda package: None if package in lacking else version(package))
    done = magpie("doctor")
    assert done.exit_code == 0 and "Not raw studies" in done.stdout and "Not DICOM" in done.stdout


def test_no_model_is_a_problem_with_its_exit_code(magpie, tmp_path, monkeypatch):
    monkeypatch.setenv("MAGPIE_MODELS", str(tmp_path / "nowhere"))
    done = magpie("doctor", "--json")
    findings = json.loads(done.stdout)
    assert done.exit_code == findings["problems"][0]["exit_code"] == 4
    assert findings["computer"] and not findings["model"]
    plain = magpie("doctor").stdout
    assert "Problem:" in plain and "can segment" not in plain


def test_missing_torch_is_a_problem_not_a_crash(magpie, monkeypatch):
    import sys

    for name in list(sys.modules):
        if name in ("magpie_core.networks.device", "magpie_core.models.model"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    done = magpie("doctor", "--json")
    assert done.exit_code == 5
    assert "torch" in json.loads(done.stdout)["problems"][0]["what"]


@pytest.mark.parametrize("arguments", [["--model", "magpie-x"]])
def test_another_model_can_be_examined(magpie, arguments):
    done = magpie("doctor", *arguments)
    assert done.exit_code == 4 and "magpie-x" in done.stdout
