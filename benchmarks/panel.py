"""Responsiveness of the panels: longest pause of the event loop, time to cancel, overhead of a run with a loaded model;
in the Training module the table at the mouse, the delay of the plots, and a long log.

MAGPIE_CASES=CASES python benchmarks/panel.py

The panels run on the stand-ins of Testing/panel: the pauses are those of the panels and of the MRML scene.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CASE = "sample/UPENN-GBM-00003_11"


class MonkeyPatch:
    """The methods of pytest's monkeypatch that `install` uses."""

    @staticmethod
    def setattr(owner: Any, name: str, value: Any, raising: bool = True) -> None:
        setattr(owner, name, value)

    @staticmethod
    def setitem(mapping: dict, key: str, value: Any) -> None:
        mapping[key] = value


def run_events(application: Any, done: Callable[[], bool]) -> tuple[float, float]:
    """Return the seconds until `done`, and the longest iteration of the event loop in seconds."""
    start, longest = time.perf_counter(), 0.0
    while not done():
        before = time.perf_counter()
        application.processEvents()
        longest = max(longest, time.perf_counter() - before)
        time.sleep(0.002)
        if time.perf_counter() - start > 600:
            raise TimeoutError("not done after 600 s")
    return time.perf_counter() - start, longest


def main() -> None:
    """Print a table."""
    folder = Path(os.environ["MAGPIE_CASES"]) / CASE
    for place in ("Testing/panel", "Testing/slicer", "MagpieSegmentation"):
        sys.path.insert(0, str(ROOT / place))
    scratch = Path(tempfile.mkdtemp(prefix="magpie-bench-"))
    os.environ["MAGPIE_SITE"] = str(scratch / "site")
    from slicer_core_app import start_slicer

    slicer = start_slicer(scratch)
    import desktop as stand_in

    shown = stand_in.install(slicer, MonkeyPatch())
    widget = stand_in.open_module(slicer, ROOT / "MagpieSegmentation" / "MagpieSegmentation.py")
    panel, ui = widget.panel, widget.panel.ui
    panel.installLogic = types.SimpleNamespace(isComplete=lambda: True)
    panel.study.loadFolder(folder)
    rows = []
    for name in ("first run", "model loaded"):
        before = time.perf_counter()
        ui.segmentButton.click()
        pressed = time.perf_counter() - before
        seconds, longest = run_events(stand_in.application, lambda: not ui.cancelButton.enabled)
        result = panel.segment.result
        inference = sum(result.report["seconds"].values())
        rows.append((name, pressed, longest, seconds + pressed, inference))
    before = time.perf_counter()
    ui.segmentButton.click()
    pressed = time.perf_counter() - before
    run_events(stand_in.application, lambda: ui.progressBar.value > 20)
    ui.cancelButton.click()
    cancelled, longest = run_events(stand_in.application, lambda: ui.statusLabel.text == "Cancelled")
    ui.reviewedBox.click()
    assert not shown.errors, shown.errors
    print("| | button press (ms) | longest pause (ms) | total (s) | inference (s) | overhead (s) |")
    print("|---|---|---|---|---|---|")
    for name, press, pause, total, inference in rows:
        cells = [f"{1e3 * press:.0f}", f"{1e3 * pause:.0f}"]
        cells += [f"{value:.2f}" for value in (total, inference, total - inference)]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\nCancel during inference: {cancelled:.2f} s, longest pause {1e3 * longest:.0f} ms")
    widget.cleanup()
    training_module(slicer, stand_in, scratch, result)


def training_module(slicer: Any, stand_in: Any, scratch: Path, result: Any) -> None:
    """Print the times of the Training module for eight maps of 240 x 240 x 155 voxels and a log of 100,000 lines."""
    import nibabel
    import numpy as np

    sys.path.insert(0, str(ROOT / "MagpieTraining"))
    crosshair = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    widget = stand_in.open_module(slicer, ROOT / "MagpieTraining" / "MagpieTraining.py")
    panel = widget.panel
    maps = []
    for number in range(8):
        maps.append(str(scratch / f"expert{number}.nii"))
        image = np.random.default_rng(number).integers(0, 255, (240, 240, 155), np.uint8)
        nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), maps[-1])
    dominant = str(scratch / "dominant.nii")
    image = np.random.default_rng(8).integers(0, 9, (240, 240, 155), np.uint8)
    nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), dominant)
    message = {"maps": maps, "dominant": dominant, "names": [""] * len(maps), "agreement": [], "token_mm": 2.0}
    panel.experts.showMaps(message | {"layers": ["one"], "layer": 0}, result)
    times, shown = [], set()
    for step in range(300):
        start = time.perf_counter()
        crosshair.SetCursorPositionRAS([float(step % 240), float(step * 7 % 240), float(step % 155)])
        stand_in.application.processEvents()
        times.append(time.perf_counter() - start)
        table = panel.ui.crosshairTable.mrmlTableNode()
        shown.add(tuple(table.GetCellText(row, 1) for row in range(table.GetNumberOfRows())))
    print(
        f"\nTable at the mouse, 240 x 240 x 155: median {1e3 * sorted(times)[150]:.1f} ms, "
        f"longest {1e3 * max(times):.1f} ms; {len(shown)} different tables at {len(times)} positions"
    )
    run = scratch / "site" / "runs" / "site-1" / "fold0"
    run.mkdir(parents=True)

    def write(first: int, count: int) -> None:
        with (run / "log.jsonl").open("a") as stream:
            for step in range(first, first + count):
                line = {
                    "step": step,
                    "minutes": step / 60,
                    "progress": 0.1,
                    "learning_rate": 1e-3,
                    "loss": 1.0,
                    "gradient_norm": 1.0,
                }
                line |= {f"dice_{region}": 0.5 for region in ("ET", "TC", "WT")}
                line |= {f"entropy_{part}": 0.5 for part in range(4)}
                line |= {f"load_{part}_{expert}": 0.125 for part in range(4) for expert in range(8)}
                stream.write(json.dumps(line) + "\n")

    write(0, 100)
    plots = panel.training.plots
    run_events(stand_in.application, lambda: plots.chart("dice") and plots.chart("dice").GetNumberOfPlotSeriesNodes())
    table = plots.chart("dice").GetNthPlotSeriesNode(0).GetTableNode()
    before = table.GetNumberOfRows()
    write(100, 10)
    delay, _ = run_events(stand_in.application, lambda: table.GetNumberOfRows() > before)
    write(110, 100_000)
    _, longest = run_events(stand_in.application, lambda: table.GetNumberOfRows() > 500)
    print(f"Delay of the plots {delay:.1f} s; longest pause with 100,000 further lines {1e3 * longest:.0f} ms")
    widget.cleanup()


if __name__ == "__main__":
    main()
