"""A window with what became of each image of a study."""

import qt
from slicer.i18n import tr as _

from magpie_core.imaging.modality import Modality

from .Tables import textCell

_SIZE = (760, 420)


def showImagesFound(found, parent):
    """Show a table of the images of a folder, what each was used as, and why; returns the dialog.

    Parameters
    ----------
    found
        Dicts of image, use, modality and reason; see `StudyLoader.found`.
    parent
        Window in front of which it is shown.
    """
    uses = {
        "used": _("used as {modality}"),
        "candidate": _("could be {modality}"),
        "set aside": _("not used"),
        "not readable": _("not readable"),
    }
    dialog = qt.QDialog(parent)
    dialog.setWindowTitle(_("Images found"))
    table = qt.QTableWidget(len(found), 3)
    table.setHorizontalHeaderLabels([_("Image"), _("Use"), _("Why")])
    table.verticalHeader().hide()
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    for row, image in enumerate(found):
        modality = Modality(image["modality"]).label if image["modality"] else ""
        texts = (image["image"], uses[image["use"]].format(modality=modality), image["reason"])
        for column, text in enumerate(texts):
            table.setItem(row, column, textCell(text))
    header = table.horizontalHeader()
    header.setSectionResizeMode(0, qt.QHeaderView.Interactive)
    header.setSectionResizeMode(1, qt.QHeaderView.ResizeToContents)
    header.setSectionResizeMode(2, qt.QHeaderView.Stretch)
    header.resizeSection(0, _SIZE[0] // 3)
    layout = qt.QVBoxLayout(dialog)
    layout.addWidget(table)
    dialog.resize(*_SIZE)
    dialog.setAttribute(qt.Qt.WA_DeleteOnClose)
    dialog.show()
    return dialog
