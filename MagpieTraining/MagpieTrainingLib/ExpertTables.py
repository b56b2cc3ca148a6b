"""What the section Experts says in numbers, as table nodes of the scene."""

import slicer
import vtk
from slicer.i18n import tr as _

_ATTRIBUTE = "MAGPIE.experts"
_EXPERT, _ASKED = "Expert", "Asked here (%)"


class ExpertTables:
    """Two tables, and a bar chart of the first: experts at the crosshair, and experts and regions.

    They can be looked at, plotted and saved as any table in Slicer. What follows the mouse is not saved with the scene.
    """

    def __init__(self):
        self._crosshairID = None

    def crosshair(self):
        """The table of the experts at the crosshair, a vtkMRMLTableNode: their names, and how much each was asked."""
        node = self._existing()
        if node is None:
            node = self._made("vtkMRMLTableNode", "crosshair", _("Experts at the crosshair"))
            node.SetSaveWithScene(False)
            for name, kind in ((_EXPERT, vtk.vtkStringArray), (_ASKED, vtk.vtkIntArray)):
                column = kind()
                column.SetName(name)
                node.AddColumn(column)
            self._crosshairID = node.GetID()
        return node

    def showAtCrosshair(self, names, shares):
        """Show how much each expert was asked, 0 to 1, in the table if there is one; no row if `shares` is empty."""
        node = self._existing()
        if node is None:
            return
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
        """A bar chart of the experts at the crosshair, a vtkMRMLPlotChartNode; it follows the table."""
        chart = self._find("vtkMRMLPlotChartNode", "crosshair")
        if chart is None:
            chart = self._made("vtkMRMLPlotChartNode", "crosshair", _("Experts at the crosshair"))
            series = self._made("vtkMRMLPlotSeriesNode", "crosshair", _("Asked here (%)"))
            series.SetAndObserveTableNodeID(self.crosshair().GetID())
            series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
            series.SetLabelColumnName(_EXPERT)
            series.SetYColumnName(_ASKED)
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
            chart.SetTitle(chart.GetName())
            chart.SetYAxisTitle(series.GetName())
            chart.SetLegendVisibility(False)
            for node in (chart, series):
                node.SetSaveWithScene(False)
        return chart

    def showRegions(self, columns, rows):
        """Keep rows of (name, numbers) under the columns' names, as a table with a column of names before them."""
        node = self._find("vtkMRMLTableNode", "regions")
        if node is None:
            node = self._made("vtkMRMLTableNode", "regions", _("Experts and regions"))
        table = vtk.vtkTable()
        names = vtk.vtkStringArray()
        names.SetName(_EXPERT)
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

    def _existing(self):
        return slicer.mrmlScene.GetNodeByID(self._crosshairID) if self._crosshairID else None

    @staticmethod
    def _made(kind, key, name):
        node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
        node.SetAttribute(_ATTRIBUTE, key)
        if node.IsA("vtkMRMLTableNode"):
            node.SetUseColumnNameAsColumnHeader(True)
            node.SetLocked(True)  # to look at, not to type into
        return node

    @staticmethod
    def _find(kind, key):
        for node in slicer.util.getNodesByClass(kind):
            if node.GetAttribute(_ATTRIBUTE) == key:
                return node
        return None
