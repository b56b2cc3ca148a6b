"""Plots of a training in Slicer's plot views."""

import numpy as np
import slicer
from slicer.i18n import tr as _

from .Colors import distinct
from .SceneNodes import firstMarked, made, marked, remove

_MARK = "MAGPIE.plot"


class TrainingPlots:
    """Tables, series and charts of the scene that follow a RunLog."""

    def __init__(self):
        self._charts = {
            "loss": (_("Error while learning (loss)"), ["loss"]),
            "dice": (_("Overlap with your outlines while learning"), ["dice_WT", "dice_TC", "dice_ET"]),
            "experts": (_("How well the experts divide the tumor"), ["expert_overlap"]),
            "rate": (_("How large the steps are (learning rate)"), ["rate"]),
            "gradient": (_("Size of the corrections (gradient)"), ["gradient_norm"]),
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
            for node in marked(kind, _MARK):
                remove(node)

    def chart(self, key):
        """The chart "loss", "dice", "experts", "rate", "gradient", "load", "entropy" or, of a region, "folds_WT".

        None before there is any.
        """
        return firstMarked("vtkMRMLPlotChartNode", _MARK, key)

    def showFolds(self, logs):
        """Bring the charts up to date that compare the rounds of one teaching, one for each region.

        `logs` are RunLogs by the round's name.
        """
        for region, title in (
            ("WT", _("Overlap of the whole tumor, each round of the teaching")),
            ("TC", _("Overlap of the core, each round of the teaching")),
            ("ET", _("Overlap of the enhancing tumor, each round of the teaching")),
        ):
            chart = self._chartNode(f"folds_{region}", title)
            for name, log in logs.items():
                self._curves(chart, f"folds_{region}.{name}", log, {f"dice_{region}": name})

    def _chart(self, key, title, columns, log):
        chart = self._chartNode(key, title)
        self._curves(chart, key, log, {name: _legend(name) for name in columns})

    def _chartNode(self, key, title):
        chart = self.chart(key)
        if chart is None:
            chart = made("vtkMRMLPlotChartNode", title, _MARK, key)
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
        table = firstMarked("vtkMRMLTableNode", _MARK, key) or made(
            "vtkMRMLTableNode", chart.GetName(), _MARK, key
        )
        slicer.util.updateTableFromArray(table, values, ["step", *columns])
        for name in columns:
            if firstMarked("vtkMRMLPlotSeriesNode", _MARK, f"{key}.{name}") is not None:
                continue
            series = made("vtkMRMLPlotSeriesNode", legends[name], _MARK, f"{key}.{name}")
            series.SetAndObserveTableNodeID(table.GetID())
            series.SetXColumnName("step")
            series.SetYColumnName(name)
            series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
            series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
            series.SetColor(*distinct(chart.GetNumberOfPlotSeriesNodes()))
            chart.AddAndObservePlotSeriesNodeID(series.GetID())


def _legend(name):
    """What to call a curve."""
    words = {
        "loss": _("Error (loss)"),
        "dice_WT": _("Whole tumor"),
        "dice_TC": _("Core"),
        "dice_ET": _("Enhancing"),
        "expert_overlap": _("Overlap with the regions"),
        "rate": _("Step size (learning rate)"),
        "gradient_norm": _("Correction (gradient)"),
    }
    if name in words:
        return words[name]
    number = int(name.rsplit("_", 1)[1]) + 1
    return (_("Expert {n}") if name.startswith("load_") else _("Part {n}")).format(n=number)
