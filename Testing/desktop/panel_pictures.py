"""Pictures of each section of both modules, narrow and wide, in the light and the dark style.

    python Testing/desktop/panel_pictures.py FOLDER

Needs MAGPIE_DESKTOP_SLICER, as the tests do. It segments the sample, maps the experts, and takes some minutes.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import time
from pathlib import Path

import magpie_core
from magpie_core.cohort.cohort import Cohort
from magpie_core.io.discovery import read_study
from magpie_core.io.segmentation_file import read_segmentation

REPOSITORY = Path(__file__).resolve().parents[2]
WIDTHS = (360, 500)
STYLES = {"light": "Light Slicer", "dark": "Dark Slicer"}
SECTIONS = {
    "MagpieSegmentation": ("study", "segment", "correct", "finetune", "computer"),
    "MagpieTraining": ("cohort", "training", "experts", "models"),
}

_PREPARE = """
import qt
slicer.util.mainWindow().showMaximized()
dock = slicer.util.findChild(slicer.util.mainWindow(), "PanelDockWidget")
"""
_OPEN = """
slicer.util.selectModule({module!r})
ui = getattr(slicer.modules, {module!r} + "Widget").panel.ui
"""
_SHOW = """
for name in {sections!r}:
    getattr(ui, name + "Section").collapsed = name != {section!r}
for _ in range(3):
    slicer.app.processEvents()
    slicer.util.mainWindow().resizeDocks([dock], [{width}], qt.Qt.Horizontal)
"""
_STYLE = """
qt.QApplication.setStyle({style!r})
qt.QApplication.setPalette(slicer.app.style().standardPalette())
"""


def main(folder: Path) -> None:
    """Write the pictures into a folder."""
    sys.path.insert(0, os.environ["MAGPIE_DESKTOP_SLICER"])
    from desktop_slicer import DesktopSlicer

    folder.mkdir(parents=True, exist_ok=True)
    make_cohort_and_log(folder)
    with DesktopSlicer(
        modules=[str(REPOSITORY / module) for module in SECTIONS],
        site=[sysconfig.get_paths()["purelib"]],
        worker_python=sys.executable,
        extra_env={"MAGPIE_DEFAULT_MODEL": "magpie-s", "MAGPIE_SITE": str(folder / "site")},
    ) as slicer:
        slicer.exec(_PREPARE + _OPEN.format(module="MagpieSegmentation"))
        slicer.exec(f"ui.cohortPath.currentPath = {str(folder / 'cases-of-our-hospital')!r}")
        _press(slicer, "sampleButton", "ui.segmentButton.enabled")
        _press(slicer, "segmentButton", "ui.ratingButton.enabled")
        slicer.exec(_OPEN.format(module="MagpieTraining"))
        _press(slicer, "explainButton", "ui.expertSelector.count")
        for module, sections in SECTIONS.items():
            for look, style in STYLES.items():
                slicer.exec(_STYLE.format(style=style))
                slicer.exec("slicer.util.selectModule('Welcome')")  # widgets take on a style when they are shown
                slicer.exec(_OPEN.format(module=module))
                for width in WIDTHS:
                    for section in sections:
                        slicer.exec(_SHOW.format(sections=sections, section=section, width=width))
                        time.sleep(0.7)
                        path = str(folder / f"{look}-{width}-{section}.png")
                        slicer.exec(f"dock.grab().save({path!r})")


def make_cohort_and_log(folder: Path) -> None:
    """Write what the Training module lists: a cohort of two synthetic cases, and the log of a training."""
    cohort = Cohort.create(folder / "cases-of-our-hospital")
    for seed in (3, 4):
        made = magpie_core.sample(folder / f"study-{seed}", seed=seed)
        labels = read_segmentation(made.reference_segmentation)
        cohort.add(read_study(made.images), labels, patient=str(seed), user="Ada Lovelace", proposal=labels)
    log = folder / "site" / "runs" / "site-1" / "fold0" / "log.jsonl"
    log.parent.mkdir(parents=True)
    layers, experts = range(4), range(8)
    with log.open("w") as stream:
        for step in range(1, 200):
            line = {"step": step, "minutes": step / 20, "progress": step / 400, "loss": 1 + 20 / step}
            line |= {f"dice_{region}": 0.9 - 5 / (step + 10) for region in ("WT", "TC", "ET")}
            line |= {f"entropy_{layer}": 0.5 + 0.1 * layer for layer in layers}
            line |= {f"load_{layer}_{n}": abs((n - layer) % 8 - 4) / 16 for layer in layers for n in experts}
            stream.write(json.dumps(line) + "\n")


def _press(slicer: object, button: str, done: str) -> None:
    slicer.exec(f"qt.QTimer.singleShot(0, ui.{button}.click)")  # type: ignore[attr-defined]
    _wait(slicer, done)


def _wait(slicer: object, expression: str, timeout_s: float = 600) -> None:
    deadline = time.monotonic() + timeout_s
    while not slicer.value(f"bool({expression})"):  # type: ignore[attr-defined]
        if time.monotonic() > deadline:
            raise TimeoutError(expression)
        time.sleep(0.7)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
