"""A table as a heat map."""

import qt

_STRONGEST_RGB = (0, 114, 178)


class HeatTable:
    """Shows numbers in a QTableWidget with a background color for each.

    Parameters
    ----------
    table
        The widget; `show` sets its rows, columns and headers.
    """

    def __init__(self, table):
        self._table = table

    def show(self, columns, rows):
        """Show rows of (name, numbers, maximum): `maximum` has the strongest color; None for a row without colors."""
        table = self._table
        table.setRowCount(len(rows))
        table.setColumnCount(len(columns))
        table.setHorizontalHeaderLabels(list(columns))
        table.setVerticalHeaderLabels([name for name, _numbers, _maximum in rows])
        for row, (_name, numbers, maximum) in enumerate(rows):
            for column, number in enumerate(numbers):
                table.setItem(row, column, self._cell(number, maximum))
        table.visible = bool(rows)

    @staticmethod
    def _cell(number, maximum):
        item = qt.QTableWidgetItem(f"{number:.2f}")
        item.setTextAlignment(qt.Qt.AlignCenter)
        strength = min(max(number / maximum, 0.0), 1.0) if maximum else 0.0
        red, green, blue = (round(255 + strength * (level - 255)) for level in _STRONGEST_RGB)
        item.setBackground(qt.QBrush(qt.QColor(red, green, blue)))
        gray = 255 if strength > 0.6 else 0
        item.setForeground(qt.QBrush(qt.QColor(gray, gray, gray)))
        return item
