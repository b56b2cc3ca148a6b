"""One slicer-core for all tests, with an empty scene for each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from magpie_core.worker.client import WorkerClient

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
GREATEST_DIFFERENCE = 4.0  # mean of 0 ... 255; OpenGL implementations differ in antialiasing


@pytest.fixture(scope="session")
def _slicer_core(tmp_path_factory):
    pytest.importorskip("slicer", reason="slicer-core is not installed: pip install 'magpie-core[slicer]'")
    sys.path[:0] = [str(HERE), str(REPOSITORY / "MagpieSegmentation")]
    from slicer_core_app import start_slicer

    return start_slicer(tmp_path_factory.mktemp("slicer"))


@pytest.fixture
def slicer(_slicer_core):
    """`slicer` as inside the application, with an empty scene."""
    _slicer_core.mrmlScene.Clear(0)
    yield _slicer_core
    _slicer_core.mrmlScene.Clear(0)


@pytest.fixture
def load_volume(slicer) -> Callable[..., Any]:
    """Loads a file with Slicer's reader."""

    def load(path: Path, name: str | None = None) -> Any:
        node = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), name or path.name.split(".")[0], 0)
        assert node is not None, path
        return node

    return load


@pytest.fixture(scope="session")
def _shared_client() -> Iterator[WorkerClient]:
    with WorkerClient() as client:
        yield client


@pytest.fixture
def logic(slicer, _shared_client: WorkerClient) -> Any:
    """SegmentationLogic with a worker process that the tests share, since the start of torch takes seconds."""
    from MagpieSegmentationLib.SegmentationLogic import SegmentationLogic
    from MagpieSegmentationLib.WorkerPort import WorkerPort

    return SegmentationLogic(WorkerPort(_shared_client))


@pytest.fixture
def make_python(tmp_path) -> Callable[..., Path]:
    """Makes a Python with this one's packages; `torch` is the code of a torch in place of the real one."""
    if os.name != "posix":
        pytest.skip("the Python is a script for a shell")

    def make(torch: str | None = None) -> Path:
        packages = tmp_path / "its-packages"
        (packages / "torch-2.9.0.dist-info").mkdir(parents=True)
        if torch is not None:
            (packages / "torch.py").write_text(torch, encoding="utf-8")
            (packages / "torch-2.9.0.dist-info" / "METADATA").write_text(
                "Name: torch\nVersion: 2.9.0\n", encoding="utf-8"
            )
        script = tmp_path / "python"
        script.write_text(
            f'#!/bin/sh\nPYTHONPATH="{packages}:$PYTHONPATH" exec {sys.executable} "$@"\n', encoding="utf-8"
        )
        script.chmod(0o700)
        return script

    return make


@pytest.fixture
def labels_in_world(slicer) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Exports a segmentation as a label map: labels (I, J, K) by terminology, and voxel index to world."""
    from MagpieSegmentationLib.SegmentationImporter import SegmentationImporter
    from MagpieSegmentationLib.VolumeExporter import VolumeExporter

    def export(segmentation: Any, reference: Any) -> tuple[np.ndarray, np.ndarray]:
        segments = segmentation.GetSegmentation()
        ids = vtk_strings(segments.GetNthSegmentID(index) for index in range(segments.GetNumberOfSegments()))
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        logic = slicer.modules.segmentations.logic()
        assert logic.ExportSegmentsToLabelmapNode(
            segmentation,
            ids,
            node,
            reference,
            slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY,
            SegmentationImporter().colorTable(),
        )
        labels = slicer.util.arrayFromVolume(node).transpose(2, 1, 0).copy()
        affine = slicer.util.arrayFromVTKMatrix(VolumeExporter.ijkToWorld(node))
        slicer.mrmlScene.RemoveNode(node)
        return labels, affine

    return export


@pytest.fixture
def golden() -> Callable[[np.ndarray, str], None]:
    """Compares a picture (H, W, 3) with the stored one; MAGPIE_NEW_PICTURES=1 stores it."""
    from PIL import Image

    def compare(picture: np.ndarray, name: str) -> None:
        path = HERE / "golden" / f"{name}.png"
        if os.environ.get("MAGPIE_NEW_PICTURES"):
            Image.fromarray(picture.astype(np.uint8)).save(path, optimize=True)
        expected = np.asarray(Image.open(path).convert("RGB")).astype(float)
        assert picture.shape == expected.shape
        assert np.abs(picture.astype(float) - expected).mean() < GREATEST_DIFFERENCE

    return compare


def vtk_strings(texts: Iterable[str]) -> Any:
    """Return a vtkStringArray."""
    import vtk

    array = vtk.vtkStringArray()
    for text in texts:
        array.InsertNextValue(text)
    return array
