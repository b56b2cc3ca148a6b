"""Training curves in Slicer's plot views."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from magpie_core.imaging.glioma import Region

from .Colors import categoricalColor
from .SceneNodes import createNode, findNode, findNodes, putIntoFolder, removeNode

_MARK = "MAGPIE.plot"
_REGIONS = (Region.WT, Region.TC, Region.ET)


class TrainingPlots:
    """Tables, plot series and charts that follow a RunLog; they are made when they are shown first."""

    def __init__(self):
        # Chart -> title, and metric -> legend; a metric that ends in "_" is a prefix.
        self._charts = {
            "loss": (_("Loss"), {"loss": _("Loss")}),
            "dice": (_("Dice during training"), {f"dice_{region}": region.label for region in _REGIONS}),
            "experts": (_("Expert overlap with the regions"), {"expert_overlap": _("Expert overlap")}),
            "learning_rate": (_("Learning rate"), {"learning_rate": _("Learning rate")}),
            "gradient": (_("Gradient norm"), {"gradient_norm": _("Gradient norm")}),
            "load": (_("Expert load"), {"load_0_": _("Expert {n}")}),
            "entropy": (_("Normalized entropy of the router"), {"entropy_": _("Layer {n}")}),
        }

    @property
    def areShown(self):
        """Whether the charts were shown, in this scene or as it was saved."""
        return findNode("vtkMRMLPlotChartNode", _MARK) is not None

    def show(self, log):
        """Update all charts; a chart without curves is removed."""
        for key, (title, legends) in self._charts.items():
            (first, legend), *_others = legends.items()
            if first.endswith("_"):
                names = log.columns(first)
                legends = {name: legend.format(n=int(name.rsplit("_", 1)[1]) + 1) for name in names}
            if any(log.column(name) for name in legends):
                self._curves(self._chartNode(key, title), key, log, legends)
            elif self.chart(key) is not None:
                removeNode(self.chart(key))

    def restart(self):
        """Remove the curves; the charts stay, so that a view that shows one will show its new curves."""
        for className in ("vtkMRMLPlotSeriesNode", "vtkMRMLTableNode"):
            for node in findNodes(className, _MARK):
                removeNode(node)

    def chart(self, key):
        """Return a chart; None before there is any.

        Parameters
        ----------
        key
            "loss", "dice", "experts", "learning_rate", "gradient", "load", "entropy", or e.g. "folds_WT" for a region.
        """
        return findNode("vtkMRMLPlotChartNode", _MARK, key)

    def showFolds(self, logs):
        """Update the charts that compare the folds, one for each region; `logs` are RunLogs by the name of the fold."""
        for region in _REGIONS:
            title = _("Dice of all folds: {region}").format(region=region.label)
            chart = self._chartNode(f"folds_{region}", title)
            for name, log in logs.items():
                self._curves(chart, f"folds_{region}.{name}", log, {f"dice_{region}": name})

    def _chartNode(self, key, title):
        chart = self.chart(key)
        if chart is None:
            chart = self._createNode("vtkMRMLPlotChartNode", title, key)
            chart.SetTitle(title)
            chart.SetXAxisTitle(_("Step"))
        return chart

    @staticmethod
    def _createNode(className, name, key):
        node = createNode(className, name, _MARK, key)
        putIntoFolder([node], _("Training curves"))
        return node

    def _curves(self, chart, key, log, legends):
        """Write metrics (name -> legend) of a log into a table, and add them as curves to a chart."""
        columns = [name for name in legends if log.column(name)]
        if not columns:
            return
        steps = [step for step, _value in log.column(columns[0])]
        values = np.array([steps, *([value for _step, value in log.column(name)] for name in columns)], float).T
        table = findNode("vtkMRMLTableNode", _MARK, key) or self._createNode("vtkMRMLTableNode", chart.GetName(), key)
        wasModifying = table.StartModify()  # else the plot views are updated after each column
        slicer.util.updateTableFromArray(table, values, ["step", *columns])
        table.EndModify(wasModifying)
        for name in columns:
            if findNode("vtkMRMLPlotSeriesNode", _MARK, f"{key}.{name}") is not None:
                continue
            series = self._createNode("vtkMRMLPlotSeriesNode", legends[name], f"{key}.{name}")
            series.SetAndObserveTableNodeID(table.GetID())
            series.SetXColumnName("step")
            series.SetYColumnName(name)
            series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
            series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
            series.SetColor(*categoricalColor(chart.GetNumberOfPlotSeriesNodes()))
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
