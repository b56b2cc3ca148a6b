"""From volume nodes, through a worker process, to a segmentation node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from magpie_core.errors import Cancelled, InputError, MagpieError
from magpie_core.imaging.glioma import Region, Tissue
from magpie_core.imaging.modality import Modality
from magpie_core.inference.segment import segment_study
from magpie_core.io.discovery import read_study
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import read_segmentation
from magpie_core.models.model import load_model

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = {"T1": "t1.nii.gz", "T1CE": "t1c.nii.gz", "T2": "t2.nii.gz", "FLAIR": "flair.nii.gz"}
AFFINE = np.array([[-1.0, 0, 0, 20], [0, -1.1, 0, 30], [0, 0, 1.3, -10], [0, 0, 0, 1]])
TURN = np.array([[0.96, -0.28, 0, 3], [0.28, 0.96, 0, -2], [0, 0, 1, 7], [0, 0, 0, 1]])
GRIDS = {
    "LPS": AFFINE,
    "left-handed": AFFINE @ np.diag([-1.0, 1, 1, 1]),
    "permuted": AFFINE[:, [1, 2, 0, 3]],
    "oblique": TURN @ AFFINE,
}


@pytest.fixture
def write_phantom(tmp_path, make_study):
    """Writes a phantom study as files; returns their paths by modality."""

    def write(affine=AFFINE, *modalities, **options):
        paths = {}
        for modality, volume in make_study(*modalities, affine=affine, **options).volumes.items():
            paths[modality.value] = tmp_path / FILES[modality.value]
            write_volume(volume, paths[modality.value])
        return paths

    return write


@pytest.fixture
def expected_of(tiny_model):
    """Segments files with magpie_core, without Slicer."""

    def expect(paths):
        study = read_study({Modality(name): path for name, path in paths.items()}, name="study")
        return segment_study(study, load_model(tiny_model), device="cpu", threads=1).segmentation

    return expect


@pytest.fixture
def options(tiny_model):
    return {"model": tiny_model, "device": "cpu", "threads": 1}


def wait_for(logic, done, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while not done() and time.monotonic() < deadline:
        logic.poll()
        time.sleep(0.02)
    assert done()


def assert_same_in_world(labels, to_world, expected):
    """Assert that both label maps have the same labels at the same world coordinates."""
    for source, affine, target, other in (
        (labels, to_world, expected.labels, expected.affine),
        (expected.labels, expected.affine, labels, to_world),
    ):
        index = np.argwhere(source > 0)
        points = index @ affine[:3, :3].T + affine[:3, 3]
        place = (points - other[:3, 3]) @ np.linalg.inv(other[:3, :3]).T
        nearest = np.rint(place).astype(int)
        assert np.abs(place - nearest).max(initial=0) < 0.01, "the grids do not coincide"
        assert ((nearest >= 0) & (nearest < target.shape)).all()
        np.testing.assert_array_equal(target[tuple(nearest.T)], source[tuple(index.T)])


@pytest.mark.parametrize("case", ["sample", "train"])
def test_run_matches_the_command_line_on_real_cases(
    cases_folder, logic, load_volume, labels_in_world, tiny_model, tmp_path, case, options
):
    folder = sorted(path for path in (cases_folder / case).iterdir() if path.is_dir())[0]
    out = tmp_path / "result"
    command = [sys.executable, "-c", "from magpie_core.cli import app; app()", "segment", str(folder), "-o", str(out)]
    command += ["--model", str(tiny_model), "--device", "cpu", "--threads", "1"]
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True)
    expected = read_segmentation(out / "segmentation.nii.gz")
    assert expected.labels.any()
    volumes = {modality: load_volume(folder / name) for modality, name in FILES.items()}
    result = logic.run(volumes, **options)
    labels, to_world = labels_in_world(result.segmentationNode, volumes["T1CE"])
    assert_same_in_world(labels, to_world, expected)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert result.volumesMl == report["volumes_ml"]


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
def test_run_matches_the_package_on_any_grid(
    logic, load_volume, labels_in_world, write_phantom, expected_of, options, affine
):
    paths = write_phantom(affine)
    volumes = {modality: load_volume(path) for modality, path in paths.items()}
    result = logic.run(volumes, **options)
    expected = expected_of(paths)
    assert expected.labels.any()
    assert_same_in_world(*labels_in_world(result.segmentationNode, volumes["T1CE"]), expected)


def test_run_applies_the_parent_transform(
    slicer, logic, load_volume, labels_in_world, write_phantom, expected_of, options
):
    moved = write_phantom(TURN @ AFFINE)
    expected = expected_of(moved)
    volumes = {modality: load_volume(path) for modality, path in moved.items()}
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(TURN))
    for node in volumes.values():
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(AFFINE))
        node.SetAndObserveTransformNodeID(transform.GetID())
    result = logic.run(volumes, **options)
    assert result.segmentationNode.GetTransformNodeID() == transform.GetID()
    assert_same_in_world(*labels_in_world(result.segmentationNode, volumes["T1CE"]), expected)


def test_run_warns_about_missing_modalities(logic, load_volume, write_phantom, options):
    paths = write_phantom(AFFINE, Modality.FLAIR)
    warnings = []
    logic.warned.connect(warnings.append)
    result = logic.run({"FLAIR": load_volume(paths["FLAIR"]), "T1CE": None}, **options)
    assert result.report["modalities_used"] == ["FLAIR"]
    assert set(result.report["modalities_missing"]) == {"T1", "T1CE", "T2"}
    assert result.warnings
    assert warnings == result.warnings


def test_result_has_volumes_a_name_and_its_report(logic, load_volume, write_phantom, options):
    from MagpieSegmentationLib.SegmentationResult import SegmentationResult

    paths = write_phantom()
    volumes = {modality: load_volume(path) for modality, path in paths.items()}
    result = logic.run(volumes, **options)
    assert set(result.volumesMl) >= {part.value for part in (*Region, Tissue.NCR, Tissue.ED, Tissue.ET)}
    assert result.volumesMl["WT"] > 0
    assert result.segmentationNode.GetName() == "t1c glioma"
    assert result.report["study"] == "t1c"
    kept = SegmentationResult.of(result.segmentationNode)
    assert kept.report == result.report
    assert SegmentationResult.of(None) is None
    again = logic.run(volumes, **options)
    assert again.segmentationNode.GetName() != result.segmentationNode.GetName()
    assert again.volumesMl == result.volumesMl


def test_error_of_the_worker_names_the_volume(slicer, logic, load_volume, write_phantom, options):
    paths = write_phantom()
    volumes = {modality: load_volume(path, f"my {modality}") for modality, path in paths.items()}
    slicer.util.arrayFromVolume(volumes["T2"])[:] = 7
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(MagpieError) as caught:
        logic.run(volumes, **options)
    assert "my T2" in str(caught.value)
    assert ".nii" not in str(caught.value)
    assert caught.value.remedy
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert not logic.isRunning


def test_start_rejects_duplicate_missing_and_unknown_volumes(logic, load_volume, write_phantom):
    node = load_volume(write_phantom(AFFINE, Modality.T1)["T1"])
    with pytest.raises(InputError, match="T1 and as FLAIR") as caught:
        logic.start({"T1": node, "FLAIR": node})
    assert caught.value.source == node.GetName()
    for volumes in ({}, {"T1": None}):
        with pytest.raises(InputError, match="No image"):
            logic.start(volumes)
    with pytest.raises(InputError, match="T9"):
        logic.start({"T9": node})
    assert not logic.isRunning


def test_cancel_leaves_no_nodes_and_no_files(slicer, logic, load_volume, write_phantom, options):
    large = write_phantom(shape=(112, 128, 112))  # long enough for the cancellation to come first
    volumes = {modality: load_volume(path) for modality, path in large.items()}
    before = slicer.mrmlScene.GetNumberOfNodes()
    ended = []

    def cancel(fraction, stage):
        logic.cancel()

    logic.progressChanged.connect(cancel)
    logic.failed.connect(ended.append)
    logic.start(volumes, **options)
    with pytest.raises(RuntimeError, match="is running"):
        logic.start(volumes, **options)
    wait_for(logic, lambda: ended)
    assert isinstance(ended[0], Cancelled)
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert [path.name for path in logic.port.folder.iterdir() if path.name != "in-use"] == ["worker.log"]
    logic.progressChanged.disconnect(cancel)
    assert logic.run(volumes, **options).volumesMl["WT"] > 0


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_worker_raises_and_is_restarted(logic, load_volume, write_phantom, options):
    large = write_phantom(shape=(112, 128, 112))  # long enough for the kill to come first
    volumes = {modality: load_volume(path) for modality, path in large.items()}
    ended = []

    def kill(fraction, stage):
        if logic.port.pid is not None:
            os.kill(logic.port.pid, signal.SIGKILL)

    logic.progressChanged.connect(kill)
    logic.failed.connect(ended.append)
    logic.start(volumes, **options)
    wait_for(logic, lambda: ended)
    logic.progressChanged.disconnect(kill)
    assert "unexpectedly" in ended[0].what
    assert ended[0].remedy
    assert logic.run(volumes, **options).volumesMl["WT"] > 0


def test_closed_scene_cancels_the_run(slicer, logic, load_volume, write_phantom, options):
    volumes = {modality: load_volume(path) for modality, path in write_phantom().items()}
    ended = []
    logic.failed.connect(ended.append)
    logic.finished.connect(ended.append)
    logic.start(volumes, **options)
    slicer.mrmlScene.Clear(0)
    wait_for(logic, lambda: ended)
    assert isinstance(ended[0], Cancelled)
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def test_close_ends_the_worker_and_removes_its_files(slicer, load_volume, write_phantom, options):
    from MagpieSegmentationLib.SegmentationLogic import SegmentationLogic

    logic = SegmentationLogic()
    volumes = {modality: load_volume(path) for modality, path in write_phantom().items()}
    logic.start(volumes, **options)
    folder = logic.port.folder
    assert folder.is_dir()
    logic.close()
    logic.close()
    logic.poll()
    assert not folder.exists()
    assert not logic.isRunning


def test_saved_scene_restores_the_result(slicer, logic, load_volume, write_phantom, labels_in_world, options, tmp_path):
    from MagpieSegmentationLib.SegmentationImporter import SegmentationImporter
    from MagpieSegmentationLib.SegmentationResult import SegmentationResult

    volumes = {modality: load_volume(path) for modality, path in write_phantom(GRIDS["oblique"]).items()}
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(TURN))
    for node in volumes.values():
        node.SetAndObserveTransformNodeID(transform.GetID())
    result = logic.run(volumes, **options)
    labels, to_world = labels_in_world(result.segmentationNode, volumes["T1CE"])
    scene = str(tmp_path / "scene.mrb")
    assert slicer.mrmlScene.WriteToMRB(scene)
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(scene)
    node = slicer.util.getFirstNodeByName("t1c glioma", "vtkMRMLSegmentationNode")
    reopened = SegmentationResult.of(node)
    assert reopened.report == result.report
    assert node.GetParentTransformNode().GetName() == "moved"
    segmentation = node.GetSegmentation()
    for index, name in enumerate(("NCR", "ED", "ET")):
        segment = segmentation.GetNthSegment(index)
        assert segment.GetName() == Tissue(name).label
        assert tuple(round(255 * part) for part in segment.GetColor()) == Tissue(name).color
    tables = slicer.util.getNodesByClass("vtkMRMLColorTableNode")
    count = len(tables)
    table = SegmentationImporter().colorTable()
    assert len(slicer.util.getNodesByClass("vtkMRMLColorTableNode")) == count, "the saved table must be reused"
    assert table.GetTerminologyType(3).GetCodeValue() == "C113842"
    again, place = labels_in_world(node, slicer.util.getNode("t1c"))
    np.testing.assert_array_equal(again, labels)
    np.testing.assert_allclose(place, to_world, atol=1e-4)


def test_panel_process_never_imports_torch(write_phantom, tiny_model):
    paths = {modality: str(path) for modality, path in write_phantom().items()}
    code = f"""
import json, sys, tempfile
from pathlib import Path
sys.path[:0] = [{str(REPOSITORY)!r}, {str(Path(__file__).parent)!r}, {str(REPOSITORY / "MagpieSegmentation")!r}]
from slicer_core_app import start_slicer
slicer = start_slicer(Path(tempfile.mkdtemp()))
from MagpieSegmentationLib.SegmentationLogic import SegmentationLogic
load = slicer.modules.volumes.logic().AddArchetypeVolume
volumes = {{name: load(path, name, 0) for name, path in {paths!r}.items()}}
logic = SegmentationLogic()
result = logic.run(volumes, model={str(tiny_model)!r}, device="cpu", threads=1)
logic.close()
assert result.volumesMl["WT"] > 0
print(json.dumps([name for name in ("torch", "monai", "nibabel", "scipy") if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
