"""Routing weights and agreement of the experts, as table nodes."""

import slicer
import vtk
from slicer.i18n import tr as _

from .SceneNodes import createNode, findNode

_MARK = "MAGPIE.expertTable"
_EXPERT, _WEIGHT = "expert", "routing_weight_percent"


class ExpertTables:
    """Two tables, experts at the mouse, and experts and regions, and a bar chart of the first.

    They can be viewed, copied and plotted as any table in Slicer. Only the second is saved with the scene.
    """

    def crosshair(self):
        """Return the table of the experts at the mouse: names and routing weights in percent."""
        node = findNode("vtkMRMLTableNode", _MARK, "crosshair")
        if node is None:
            node = self._table("crosshair", _("Experts at the mouse"))
            node.SetSaveWithScene(False)
            for name, title, kind in (
                (_EXPERT, _("Expert"), vtk.vtkStringArray),
                (_WEIGHT, _("Weight (%)"), vtk.vtkIntArray),
            ):
                column = kind()
                column.SetName(name)
                node.AddColumn(column)
                node.SetColumnTitle(name, title)
        return node

    def showAtCrosshair(self, names, weights):
        """Show the routing weight of each expert, 0 to 1; no row if `weights` is empty."""
        node = self.crosshair()
        table = node.GetTable()
        rows = list(zip(names, weights, strict=False))
        table.SetNumberOfRows(len(rows))
        experts, percents = table.GetColumn(0), table.GetColumn(1)
        for row, (name, weight) in enumerate(rows):
            experts.SetValue(row, name)
            percents.SetValue(row, round(100 * weight))
        percents.Modified()
        table.Modified()
        node.Modified()

    def chart(self):
        """Return a bar chart of the experts at the mouse."""
        name = _("Experts at the mouse")
        chart = findNode("vtkMRMLPlotChartNode", _MARK) or createNode("vtkMRMLPlotChartNode", name, _MARK, "crosshair")
        bars = findNode("vtkMRMLPlotSeriesNode", _MARK) or createNode(
            "vtkMRMLPlotSeriesNode", _("Routing weight (%)"), _MARK, "crosshair"
        )
        bars.SetAndObserveTableNodeID(self.crosshair().GetID())
        bars.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
        bars.SetLabelColumnName(_EXPERT)
        bars.SetYColumnName(_WEIGHT)
        chart.RemoveAllPlotSeriesNodeIDs()
        chart.AddAndObservePlotSeriesNodeID(bars.GetID())
        chart.SetTitle(name)
        chart.SetYAxisTitle(bars.GetName())
        chart.SetLegendVisibility(False)
        for node in (chart, bars):
            node.SetSaveWithScene(False)
        return chart

    def setRegions(self, study, columns, rows):
        """Store rows of (name, numbers) of a study with column names; without columns the table is removed."""
        node = findNode("vtkMRMLTableNode", _MARK, "regions")
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
        """Return the stored column names and rows of (name, numbers); empty if there are none."""
        node = findNode("vtkMRMLTableNode", _MARK, "regions")
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
        node = createNode("vtkMRMLTableNode", name, _MARK, key)
        node.SetUseColumnTitleAsColumnHeader(True)
        node.SetLocked(True)
        return node
