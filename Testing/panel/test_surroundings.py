"""The module Sample Data, and DICOM descriptions."""

from __future__ import annotations

import sys
import types


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
