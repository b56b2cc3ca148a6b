"""A table as a heat map."""

import qt
from MagpieSegmentationLib.Tables import fitToContent

_STRONGEST_RGB = (0, 114, 178)
_WHITE_ABOVE = 0.65  # strength at which black text can no longer be read


class HeatTable:
    """Shows numbers in a QTableWidget with a background color for each.

    Parameters
    ----------
    table
        The widget; `show` sets its rows, columns and headers.
    """

    def __init__(self, table):
        self._table = table
        fitToContent(table, stretch=None)

    def show(self, columns, rows, explanations=None):
        """Show rows of (name, numbers, maximum): `maximum` has the strongest color; None for a row without colors.

        `explanations` are the tooltips of columns, by their names.
        """
        table = self._table
        isResized = (table.rowCount, table.columnCount) != (len(rows), len(columns))
        table.setUpdatesEnabled(False)
        table.setRowCount(len(rows))
        table.setColumnCount(len(columns))
        table.setHorizontalHeaderLabels(list(columns))
        for index, column in enumerate(columns):
            table.horizontalHeaderItem(index).setToolTip((explanations or {}).get(column, ""))
        table.setVerticalHeaderLabels([name for name, _numbers, _maximum in rows])
        for row, (_name, numbers, maximum) in enumerate(rows):
            for column, number in enumerate(numbers):
                table.setItem(row, column, self._cell(number, maximum))
        if isResized:
            fitToContent(table, stretch=None)
        table.setUpdatesEnabled(True)

    def _cell(self, number, maximum):
        item = qt.QTableWidgetItem(f"{number:.2f}")
        item.setTextAlignment(qt.Qt.AlignCenter)
        if maximum:
            strength = min(max(number / maximum, 0.0), 1.0)
            # Translucent over the background of the style, light or dark, also if that changes later.
            item.setBackground(qt.QBrush(qt.QColor(*_STRONGEST_RGB, round(255 * strength))))
            if strength > _WHITE_ABOVE:
                item.setForeground(qt.QBrush(qt.QColor(255, 255, 255)))
        return item
