"""Tables that are as high as their content."""

import qt


def fitToContent(table):
    """Wrap the first column of a QTableWidget, fit the others and the rows to their content.

    The .ui file lets the table ask for the height of its content (AdjustToContents), and hides its scroll bars.
    """
    header = table.horizontalHeader()
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
    table.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
