"""A table whose cells are colored by their numbers."""

import qt

_STRONGEST = (0, 114, 178)


class HeatTable:
    """Shows numbers from 0 to 1 in a QTableWidget, stronger colors for greater ones.

    Parameters
    ----------
    table
        The widget; rows, columns and headers are made by `show`.
    """

    def __init__(self, table):
        self._table = table

    def show(self, columns, rows):
        """Show rows of (name, numbers, full): `full` is the number of the strongest color, None for a row without."""
        table = self._table
        table.setRowCount(len(rows))
        table.setColumnCount(len(columns))
        table.setHorizontalHeaderLabels(list(columns))
        table.setVerticalHeaderLabels([name for name, _numbers, _full in rows])
        for row, (_name, numbers, full) in enumerate(rows):
            for column, number in enumerate(numbers):
                table.setItem(row, column, self._cell(number, full))
        table.visible = bool(rows)

    @staticmethod
    def _cell(number, full):
        item = qt.QTableWidgetItem(f"{number:.2f}")
        item.setTextAlignment(qt.Qt.AlignCenter)
        share = min(max(number / full, 0.0), 1.0) if full else 0.0
        red, green, blue = (round(255 + share * (level - 255)) for level in _STRONGEST)
        item.setBackground(qt.QBrush(qt.QColor(red, green, blue)))
        shade = 255 if share > 0.6 else 0
        item.setForeground(qt.QBrush(qt.QColor(shade, shade, shade)))
        return item
