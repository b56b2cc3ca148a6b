"""Pictures of each section of the Segmentation module, narrow and wide, in the light and the dark style.

    python Testing/desktop/panel_pictures.py FOLDER

Needs MAGPIE_DESKTOP_SLICER, as the tests do. It segments the sample, and takes some minutes.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
WIDTHS = (360, 500)
STYLES = {"light": "Light Slicer", "dark": "Dark Slicer"}
SECTIONS = ("study", "segment", "correct", "finetune", "computer")

_PREPARE = """
import qt
slicer.util.mainWindow().showMaximized()
slicer.util.selectModule("MagpieSegmentation")
ui = slicer.modules.MagpieSegmentationWidget.panel.ui
dock = slicer.util.findChild(slicer.util.mainWindow(), "PanelDockWidget")
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
    with DesktopSlicer(
        modules=[str(REPOSITORY / "MagpieSegmentation")],
        site=[sysconfig.get_paths()["purelib"]],
        worker_python=sys.executable,
        extra_env={"MAGPIE_DEFAULT_MODEL": "magpie-s", "MAGPIE_SITE": str(folder / "site")},
    ) as slicer:
        slicer.exec(_PREPARE + "qt.QTimer.singleShot(0, ui.sampleButton.click)")
        _wait(slicer, "ui.segmentButton.enabled")
        slicer.exec("qt.QTimer.singleShot(0, ui.segmentButton.click)")
        _wait(slicer, "ui.ratingButton.enabled")
        for look, style in STYLES.items():
            slicer.exec(_STYLE.format(style=style))
            for width in WIDTHS:
                for section in SECTIONS:
                    slicer.exec(_SHOW.format(sections=SECTIONS, section=section, width=width))
                    time.sleep(0.7)
                    path = str(folder / f"{look}-{width}-{section}.png")
                    slicer.exec(f"dock.grab().save({path!r})")


def _wait(slicer: object, expression: str, timeout_s: float = 600) -> None:
    deadline = time.monotonic() + timeout_s
    while not slicer.value(f"bool({expression})"):  # type: ignore[attr-defined]
        if time.monotonic() > deadline:
            raise TimeoutError(expression)
        time.sleep(0.7)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
