"""What the section Experts says in numbers, as table nodes of the scene."""

import slicer
import vtk
from slicer.i18n import tr as _

from .SceneNodes import firstMarked, made

_MARK = "MAGPIE.expertTable"
_EXPERT, _ASKED = "expert", "asked_percent"


class ExpertTables:
    """Two tables, and a bar chart of the first: experts at the mouse, and experts and regions.

    They can be looked at, copied and plotted as any table in Slicer. What follows the mouse is not saved with it.
    """

    def crosshair(self):
        """The table of the experts at the mouse: their names, and how much each was asked, in percent."""
        node = firstMarked("vtkMRMLTableNode", _MARK, "crosshair")
        if node is None:
            node = self._table("crosshair", _("Experts at the mouse"))
            node.SetSaveWithScene(False)
            for name, title, kind in (
                (_EXPERT, _("Expert"), vtk.vtkStringArray),
                (_ASKED, _("Asked here (%)"), vtk.vtkIntArray),
            ):
                column = kind()
                column.SetName(name)
                node.AddColumn(column)
                node.SetColumnTitle(name, title)
        return node

    def showAtCrosshair(self, names, shares):
        """Show how much each expert was asked, 0 to 1; no row if `shares` is empty."""
        node = self.crosshair()
        table = node.GetTable()
        rows = list(zip(names, shares, strict=False))
        table.SetNumberOfRows(len(rows))
        experts, asked = table.GetColumn(0), table.GetColumn(1)
        for row, (name, share) in enumerate(rows):
            experts.SetValue(row, name)
            asked.SetValue(row, round(100 * share))
        asked.Modified()
        table.Modified()
        node.Modified()

    def chart(self):
        """A bar chart of the experts at the mouse; it follows the table."""
        name = _("Experts at the mouse")
        chart = firstMarked("vtkMRMLPlotChartNode", _MARK) or made(
            "vtkMRMLPlotChartNode", name, _MARK, "crosshair"
        )
        bars = firstMarked("vtkMRMLPlotSeriesNode", _MARK) or made(
            "vtkMRMLPlotSeriesNode", _("Asked here (%)"), _MARK, "crosshair"
        )
        bars.SetAndObserveTableNodeID(self.crosshair().GetID())
        bars.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
        bars.SetLabelColumnName(_EXPERT)
        bars.SetYColumnName(_ASKED)
        chart.RemoveAllPlotSeriesNodeIDs()
        chart.AddAndObservePlotSeriesNodeID(bars.GetID())
        chart.SetTitle(name)
        chart.SetYAxisTitle(bars.GetName())
        chart.SetLegendVisibility(False)
        for node in (chart, bars):
            node.SetSaveWithScene(False)
        return chart

    def keepRegions(self, study, columns, rows):
        """Keep rows of (name, numbers) of a study under the columns' names; no columns take the table away."""
        node = firstMarked("vtkMRMLTableNode", _MARK, "regions")
        if not columns:
            if node is not None:
                slicer.mrmlScene.RemoveNode(node)
            return
        node = node or self._table("regions", "")
        node.SetName(_("Experts and regions: {study}").format(study=study))
        table = vtk.vtkTable()
        names = vtk.vtkStringArray()
        names.SetName("overlap_of")
        for name, _numbers in rows:
            names.InsertNextValue(name)
        table.AddColumn(names)
        for index, column in enumerate(columns):
            values = vtk.vtkDoubleArray()
            values.SetName(column)
            for _name, numbers in rows:
                values.InsertNextValue(numbers[index])
            table.AddColumn(values)
        node.SetAndObserveTable(table)
        node.SetColumnTitle("overlap_of", _("Overlap of"))
        for column in columns:
            node.SetColumnTitle(column, column)

    def regions(self):
        """What was kept: names of columns, and rows of (name, numbers); empty if nothing was."""
        node = firstMarked("vtkMRMLTableNode", _MARK, "regions")
        if node is None:
            return [], []
        table = node.GetTable()
        columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())]
        rows = [
            (columns[0].GetValue(row), [column.GetValue(row) for column in columns[1:]])
            for row in range(table.GetNumberOfRows())
        ]
        return [column.GetName() for column in columns[1:]], rows

    @staticmethod
    def _table(key, name):
        node = made("vtkMRMLTableNode", name, _MARK, key)
        node.SetUseColumnTitleAsColumnHeader(True)
        node.SetLocked(True)  # to look at, not to type into
        return node
