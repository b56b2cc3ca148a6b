"""Draw the sections of the panels for the tutorial, on the stand-ins of this folder.

python Testing/panel/screenshots.py docs/pictures [STUDY [RUN]]

STUDY is a folder with the images of one examination, by default the sample study. RUN is the run folder of a training;
without it the section Training is not drawn.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WIDTH_PX = 460
VIEW_PX = 230


def main() -> None:
    """Run the workflow and draw each section."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    sys.path[:0] = [str(HERE), str(HERE.parent / "slicer"), str(ROOT / "MagpieSegmentation")]
    scratch = Path(tempfile.mkdtemp(prefix="magpie-pictures-"))
    os.environ["MAGPIE_SITE"] = str(scratch / "site")
    from slicer_core_app import start_slicer

    slicer = start_slicer(scratch)
    import desktop as stand_in
    from PySide6 import QtWidgets

    patch = types.SimpleNamespace(
        setattr=lambda owner, name, value, raising=True: setattr(owner, name, value),
        setitem=lambda mapping, key, value: mapping.__setitem__(key, value),
    )
    shown = stand_in.install(slicer, patch)
    widget = stand_in.open_module(slicer, ROOT / "MagpieSegmentation" / "MagpieSegmentation.py")
    panel, ui = widget.panel, widget.panel.ui

    def wait(done: Callable[[], bool]) -> None:
        end = time.monotonic() + 600
        while not done():
            assert time.monotonic() < end and not shown.errors, shown.errors
            stand_in.application.processEvents()
            time.sleep(0.01)

    def grab(section: Any, name: str, module: Any = widget) -> None:
        section.collapsed = False
        module.parent.resize(WIDTH_PX, 1800)
        module.parent.show()
        for _ in range(5):
            stand_in.application.processEvents()
        QtWidgets.QWidget.grab(section).save(str(out / f"{name}.png"))

    if len(sys.argv) > 2:
        panel.study.loadFolder(Path(sys.argv[2]))
    else:
        ui.sampleButton.click()
        wait(lambda: ui.sampleButton.enabled)
    grab(ui.studySection, "study")
    ui.segmentButton.click()
    wait(lambda: not ui.cancelButton.enabled)
    grab(ui.segmentSection, "segment")
    ui.reviewedBox.click()
    grab(ui.correctSection, "correct")
    ui.cohortPath.currentPath = str(scratch / "our-cases")
    ui.patientEdit.text = "4711"
    ui.addButton.click()
    wait(lambda: ui.casesLabel.text.startswith("1 "))
    ui.cohortPath.line.setText("/home/neuro/our-cases")
    ui.casesLabel.text, ui.casesBar.value = "1 of about 20 cases", 5
    grab(ui.finetuneSection, "finetune")
    sys.path.insert(0, str(ROOT / "MagpieTraining"))
    training = stand_in.open_module(slicer, ROOT / "MagpieTraining" / "MagpieTraining.py")
    experts = training.panel.ui
    experts.resultSelector.setCurrentNode(panel.segment.result.segmentationNode)
    experts.explainButton.click()
    wait(lambda: experts.expertSelector.count > 0)
    crosshair = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    training.panel.experts.observeCrosshair()
    center = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    panel.segment.result.segmentationNode.GetRASBounds(center)
    crosshair.SetCursorPositionRAS([(center[2 * n] + center[2 * n + 1]) / 2 for n in range(3)])
    grab(experts.expertsSection, "experts", training)
    draw_grid(slicer, training.panel, out / "experts-grid.png")
    if len(sys.argv) > 3:
        run = scratch / "site" / "runs" / "site-1" / "fold1"
        run.mkdir(parents=True)
        shutil.copy(Path(sys.argv[3]) / "log.jsonl", run)
        training.panel.training.update()
        grab(experts.trainingSection, "training", training)
    training.cleanup()
    widget.cleanup()


def draw_grid(slicer: Any, panel: Any, path: Path) -> None:
    """Draw the slice views of all experts side by side, by Slicer's layout and slice logic."""
    import numpy as np
    from PIL import Image
    from vtk.util.numpy_support import vtk_to_numpy

    layout = slicer.vtkMRMLLayoutLogic()
    layout.SetMRMLScene(slicer.mrmlScene)
    panel.ui.gridBox.click()
    views = layout.GetViewNodes()
    pictures = []
    segmentation = panel.ui.resultSelector.currentNode()
    bounds = [0.0] * 6
    segmentation.GetRASBounds(bounds)
    for index in range(views.GetNumberOfItems()):
        view, logic = views.GetItemAsObject(index), slicer.vtkMRMLSliceLogic()
        view.SetDimensions(VIEW_PX, VIEW_PX, 1)
        view.SetFieldOfView(210, 210, 1)
        view.JumpSlice(*(bounds[2 * axis] / 2 + bounds[2 * axis + 1] / 2 for axis in range(3)))
        logic.SetMRMLScene(slicer.mrmlScene)
        logic.SetSliceNode(view)
        logic.UpdatePipeline()
        connection = logic.GetImageDataConnection()
        connection.GetProducer().Update()
        image = connection.GetProducer().GetOutputDataObject(connection.GetIndex())
        values = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(VIEW_PX, VIEW_PX, -1)
        pictures.append(np.pad(values[::-1, :, :3], ((2, 2), (2, 2), (0, 0)), constant_values=90))
    rows = [np.concatenate(pictures[at : at + 4], axis=1) for at in range(0, len(pictures), 4)]
    Image.fromarray(np.concatenate(rows)).save(path, optimize=True)


if __name__ == "__main__":
    main()
