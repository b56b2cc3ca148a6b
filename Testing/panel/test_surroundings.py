"""The module Sample Data, and DICOM descriptions."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def test_sample_study_is_registered_after_startup(module, desktop, monkeypatch):
    assert desktop.connected == ["startupCompleted()"]
    registered = []
    sample_data = types.ModuleType("SampleData")
    sample_data.SampleDataLogic = types.SimpleNamespace(
        registerCustomSampleDataSource=lambda **options: registered.append(options)
    )
    monkeypatch.setitem(sys.modules, "SampleData", sample_data)
    sys.modules["MagpieSegmentation"].registerSampleData()
    assert registered[0]["category"] == "MAGPIE"
    assert registered[0]["uris"] == registered[0]["fileNames"] == []  # Slicer calls len() on both


def test_by_name_assigns_dicom_volumes_by_description_and_contrast_agent(module, desktop, monkeypatch):
    from MagpieSegmentationLib.ModalityAssignment import ModalityAssignment

    slicer = desktop.slicer
    tags = {
        "1": {"0008,103e": "AX T1 MPRAGE"},
        "2": {"0008,103e": "AX T1 MPRAGE", "0018,0010": "Gadovist"},
        "3": {"0008,103e": "T2W_FLAIR"},
    }
    monkeypatch.setattr(
        slicer,
        "dicomDatabase",
        types.SimpleNamespace(instanceValue=lambda uid, tag: tags[uid].get(tag, "")),
        raising=False,
    )
    nodes = []
    for uid in tags:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", f"{uid}: series")
        node.SetAttribute("DICOM.instanceUIDs", uid)
        nodes.append(node)
    assignment = ModalityAssignment.byName(nodes)
    assert {name: nodes.index(node) + 1 for name, node in assignment.volumes.items()} == {
        "T1": 1,
        "T1CE": 2,
        "FLAIR": 3,
    }


@pytest.mark.parametrize(("name", "panel"), [("MagpieSegmentation", "Panel"), ("MagpieTraining", "TrainingPanel")])
def test_module_whose_setup_failed_can_be_left_and_closed(desktop, site, monkeypatch, name, panel):
    import importlib

    import desktop as stand_in

    monkeypatch.syspath_prepend(str(REPOSITORY / name))
    entry = types.SimpleNamespace(path=str(REPOSITORY / "MagpieSegmentation" / "MagpieSegmentation.py"))
    monkeypatch.setattr(desktop.slicer.modules, "magpiesegmentation", entry, raising=False)

    def fail(*_ignored):
        raise RuntimeError("a widget is missing")

    monkeypatch.setattr(getattr(importlib.import_module(f"{name}Lib.{panel}"), panel), "__init__", fail)
    made = []
    base = sys.modules["slicer.ScriptedLoadableModule"].ScriptedLoadableModuleWidget
    monkeypatch.setattr(base, "setup", made.append)
    with pytest.raises(RuntimeError, match="a widget is missing"):  # Slicer writes it to the log, and goes on
        stand_in.open_module(desktop.slicer, REPOSITORY / name / f"{name}.py")
    (widget,) = made
    for method in (widget.enter, widget.exit, widget.cleanup):
        method()
