"""Tables that fill the width of the panel and are as high as their content."""

import qt


def fitToContent(table, stretch=0):
    """Fit the columns and rows of a QTableWidget to their content; without rows it is hidden.

    Parameters
    ----------
    table
        The widget; its .ui file lets it ask for the height of its content (AdjustToContents).
    stretch
        Column that gets the space that the others leave; None to give all the same width.
    """
    header = table.horizontalHeader()
    for column in range(table.columnCount):
        stretches = stretch in (None, column)
        header.setSectionResizeMode(column, qt.QHeaderView.Stretch if stretches else qt.QHeaderView.ResizeToContents)
    table.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    table.visible = table.rowCount > 0


def textCell(text, isNumber=False):
    """Return a cell with a text, which is its tooltip too; numbers are aligned at the right."""
    cell = qt.QTableWidgetItem(text)
    cell.setToolTip(text)
    if isNumber:
        cell.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    return cell
