"""A window with a picture."""

import qt
import slicer

_LARGEST = (1100, 900)


def showPicture(path, title):
    """Show a picture file in a window, at most 1100 x 900 pixels; returns the dialog."""
    picture = qt.QPixmap(str(path))
    width, height = (min(a, b) for a, b in zip((picture.width(), picture.height()), _LARGEST, strict=True))
    label = qt.QLabel()
    label.setPixmap(picture.scaled(width, height, qt.Qt.KeepAspectRatio, qt.Qt.SmoothTransformation))
    dialog = qt.QDialog(slicer.util.mainWindow())
    dialog.setWindowTitle(title)
    layout = qt.QVBoxLayout(dialog)
    layout.addWidget(label)
    dialog.setAttribute(qt.Qt.WA_DeleteOnClose)
    dialog.show()
    return dialog
