"""A window with a picture."""

import qt
import slicer

_LARGEST = (1100, 900)
_MARGIN = 30


def showPicture(path, title):
    """Show a picture file in a window with scroll bars, one pixel of it for one of the screen; returns the dialog."""
    dialog = qt.QDialog(slicer.util.mainWindow())
    dialog.setWindowTitle(title)
    picture = qt.QPixmap(str(path))
    ratio = dialog.devicePixelRatioF()
    picture.setDevicePixelRatio(ratio)
    label = qt.QLabel()
    label.setPixmap(picture)
    area = qt.QScrollArea()
    area.setWidget(label)
    layout = qt.QVBoxLayout(dialog)
    layout.addWidget(area)
    size = (picture.width() / ratio, picture.height() / ratio)
    dialog.resize(*(min(round(a) + _MARGIN, b) for a, b in zip(size, _LARGEST, strict=True)))
    dialog.setAttribute(qt.Qt.WA_DeleteOnClose)
    dialog.show()
    return dialog
