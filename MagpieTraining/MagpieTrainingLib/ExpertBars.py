"""The routing weights at the mouse as bars in a plot view."""

import slicer
import vtk
from slicer.i18n import tr as _

from .Colors import categoricalColor
from .SceneNodes import createNode, findNode, findNodes, removeNode

_MARK = "MAGPIE.expertBars"
_CLASSES = ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode")
_GROUP_WIDTH = 0.8  # of the bars at one place of vtkChartXY


class ExpertBars:
    """A bar chart with a color and a name for each expert; its nodes are made when it is shown first.

    A plot series has one color, hence each expert is a series of one bar; the bars of all series stand side by side
    around 0. Slicer has no names for places on an axis: they are set in the plot view, as long as it shows this chart.
    """

    def __init__(self):
        self._view = None
        self._viewNode = None
        self._tag = None

    @property
    def count(self):
        """Number of bars; 0 before they are shown."""
        return len(findNodes("vtkMRMLPlotSeriesNode", _MARK))

    def show(self, regions):
        """Show a bar for each expert, with the name of the region that it agrees with most, or ""."""
        chart = findNode("vtkMRMLPlotChartNode", _MARK) or self._create(len(regions))
        slicer.modules.plots.logic().ShowChartInLayout(chart)
        self._nameBars(chart, regions)

    def update(self, percents):
        """Set the heights; 0 if there are none."""
        node = findNode("vtkMRMLTableNode", _MARK)
        if node is None:
            return
        table = node.GetTable()
        for index in range(table.GetNumberOfColumns()):
            table.GetColumn(index).SetValue(0, percents[index] if percents else 0)
            table.GetColumn(index).Modified()
        table.Modified()
        node.Modified()

    def remove(self):
        """Remove the nodes."""
        self._releaseView()
        for className in _CLASSES:
            for node in findNodes(className, _MARK):
                removeNode(node)

    def _create(self, count):
        title = _("Experts at the mouse")
        chart, table = (createNode(name, title, _MARK, "chart") for name in (_CLASSES[0], _CLASSES[2]))
        chart.SetTitle(title)
        chart.SetXAxisTitle(_("Expert"))
        chart.SetYAxisTitle(_("Routing weight (%)"))
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(0, 100)
        chart.SetXAxisRangeAuto(False)
        chart.SetXAxisRange(-0.5, 0.5)
        chart.SetLegendVisibility(False)
        nodes = [chart, table]
        for number in range(1, count + 1):
            weight = vtk.vtkIntArray()
            weight.SetName(f"expert_{number}_percent")
            weight.InsertNextValue(0)
            table.GetTable().AddColumn(weight)
        for number in range(1, count + 1):
            series = createNode("vtkMRMLPlotSeriesNode", _("Expert {n}").format(n=number), _MARK, str(number))
            series.SetAndObserveTableNodeID(table.GetID())
            series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
            series.SetYColumnName(f"expert_{number}_percent")
            series.SetColor(*categoricalColor(number - 1))
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
            nodes.append(series)
        for node in nodes:
            node.SetSaveWithScene(False)
        return chart

    def _nameBars(self, chart, regions):
        self._releaseView()
        positions, names = vtk.vtkDoubleArray(), vtk.vtkStringArray()
        for index, region in enumerate(regions):
            positions.InsertNextValue(_GROUP_WIDTH * ((index + 0.5) / len(regions) - 0.5))
            names.InsertNextValue(f"{index + 1}\n{region}" if region else str(index + 1))
        manager = slicer.app.layoutManager()
        for index in range(manager.plotViewCount if manager is not None else 0):  # None without a main window
            view, node = manager.plotWidget(index).plotView(), manager.plotWidget(index).mrmlPlotViewNode()
            if node.GetPlotChartNodeID() == chart.GetID():
                view.chart().GetAxis(vtk.vtkAxis.BOTTOM).SetCustomTickPositions(positions, names)
                self._view, self._viewNode = view, node
                self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onView)
                return

    def _onView(self, node, _event):
        chart = findNode("vtkMRMLPlotChartNode", _MARK)
        if chart is None or node.GetPlotChartNodeID() != chart.GetID():
            self._releaseView()

    def _releaseView(self):
        """Give the axis its numbers back, for other charts."""
        if self._viewNode is not None:
            self._viewNode.RemoveObserver(self._tag)
            self._view.chart().GetAxis(vtk.vtkAxis.BOTTOM).SetCustomTickPositions(None, None)
            self._view = self._viewNode = None
