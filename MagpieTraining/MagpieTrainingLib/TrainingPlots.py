"""Plots of a training in Slicer's plot views."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from .Colors import distinct

_ATTRIBUTE = "MAGPIE.plot"


class TrainingPlots:
    """Tables, series and charts of the scene that follow a RunLog."""

    def __init__(self):
        self._charts = {
            "loss": (_("Loss"), ["loss"]),
            "dice": (_("Overlap with your outlines while learning"), ["dice_WT", "dice_TC", "dice_ET"]),
            "experts": (_("How well the experts divide the tumour"), ["expert_overlap"]),
            "rate": (_("Learning rate"), ["rate"]),
            "gradient": (_("Size of the gradient"), ["gradient_norm"]),
            "load": (_("Share of each expert"), "load_0_"),
            "entropy": (_("How undecided the choice of experts is"), "entropy_"),
        }

    def show(self, log):
        """Bring all charts up to date."""
        for key, (title, names) in self._charts.items():
            columns = log.columns(names) if isinstance(names, str) else names
            columns = [name for name in columns if log.column(name)]
            if columns:
                self._chart(key, title, columns, log)

    def clear(self):
        """Take all charts with what belongs to them out of the scene."""
        for kind in ("vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTableNode"):
            for node in slicer.util.getNodesByClass(kind):
                if node.GetAttribute(_ATTRIBUTE):
                    slicer.mrmlScene.RemoveNode(node)

    def chart(self, key):
        """The chart "loss", "dice", "experts", "rate", "gradient", "load", "entropy" or "folds"; None before any."""
        return self._find("vtkMRMLPlotChartNode", key)

    def showFolds(self, logs):
        """Bring the chart up to date that compares the parts of one teaching; `logs` are RunLogs by the part's name."""
        chart = self._chartNode("folds", _("Overlap of the whole tumour, each part of the teaching"))
        for part, log in logs.items():
            self._curves(chart, f"folds.{part}", log, {"dice_WT": part})

    def _chart(self, key, title, columns, log):
        chart = self._chartNode(key, title)
        self._curves(chart, key, log, {name: _legend(name) for name in columns})

    def _chartNode(self, key, title):
        chart = self.chart(key)
        if chart is None:
            chart = self._make("vtkMRMLPlotChartNode", key, title)
            chart.SetTitle(title)
            chart.SetXAxisTitle(_("Step"))
        return chart

    def _curves(self, chart, key, log, legends):
        """Put columns of a log, by what to call them, into a table of their own and as curves into a chart."""
        columns = [name for name in legends if log.column(name)]
        if not columns:
            return
        steps = [step for step, _value in log.column(columns[0])]
        values = np.array(
            [steps, *([value for _step, value in log.column(name)] for name in columns)], float
        ).T
        table = self._find("vtkMRMLTableNode", key) or self._make("vtkMRMLTableNode", key, chart.GetName())
        slicer.util.updateTableFromArray(table, values, ["step", *columns])
        for name in columns:
            if self._find("vtkMRMLPlotSeriesNode", f"{key}.{name}") is not None:
                continue
            series = self._make("vtkMRMLPlotSeriesNode", f"{key}.{name}", legends[name])
            series.SetAndObserveTableNodeID(table.GetID())
            series.SetXColumnName("step")
            series.SetYColumnName(name)
            series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
            series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
            series.SetColor(*distinct(chart.GetNumberOfPlotSeriesNodes()))
            chart.AddAndObservePlotSeriesNodeID(series.GetID())

    @staticmethod
    def _find(kind, key):
        for node in slicer.util.getNodesByClass(kind):
            if node.GetAttribute(_ATTRIBUTE) == key:
                return node
        return None

    @staticmethod
    def _make(kind, key, name):
        node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
        node.SetAttribute(_ATTRIBUTE, key)
        return node


def _legend(name):
    """What to call a curve."""
    words = {
        "loss": _("Loss"),
        "dice_WT": _("Whole tumour"),
        "dice_TC": _("Core"),
        "dice_ET": _("Enhancing"),
        "expert_overlap": _("Overlap with the regions"),
        "rate": _("Learning rate"),
        "gradient_norm": _("Gradient"),
    }
    if name in words:
        return words[name]
    number = int(name.rsplit("_", 1)[1]) + 1
    return (_("Expert {n}") if name.startswith("load_") else _("Part {n}")).format(n=number)
