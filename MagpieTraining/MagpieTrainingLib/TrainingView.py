"""Section Training: the metrics of a running training."""

import slicer
from MagpieSegmentationLib.WidgetState import enable
from slicer.i18n import tr as _

from .HeatTable import HeatTable
from .RunLog import RunLog
from .TrainingPlots import TrainingPlots

_MAXIMUM_LOAD = 0.5  # each token is routed to two experts


class TrainingView:
    """Follows the newest training of this site.

    Parameters
    ----------
    ui
        Widgets by name.

    Attributes
    ----------
    plots
        TrainingPlots.
    """

    def __init__(self, ui):
        self.plots = TrainingPlots()
        self._ui = ui
        self._log = None
        self._folds = {}
        self._heat = HeatTable(ui.loadTable)
        ui.plotsButton.connect("clicked(bool)", self.onShowPlots)
        self.update()

    def update(self):
        """Read new metrics and show them; fast if there are none."""
        newest = RunLog.newest(self._runs()) if self._runs().is_dir() else None
        noPlots = _("There is nothing to plot yet")
        if newest is None:
            self._ui.runLabel.text = _("No fine-tuning was started in MAGPIE Glioma Segmentation yet.")
            enable(self._ui.plotsButton, noPlots, "")
            return
        if self._log is None or self._log.path != newest.path:
            self._follow(newest)
        if self._log.update() and self._log.lines:
            self.plots.show(self._log)
            self.plots.showFolds(self._foldLogs())
            self._showMetrics(self._log.lines[-1])
        enable(self._ui.plotsButton, "" if self._log.lines else noPlots, _("Show the training curves in a plot view"))

    def onShowPlots(self, *_ignored):
        """Show the Dice curves in a plot view."""
        chart = self.plots.chart("dice") or self.plots.chart("loss")
        if chart is not None:
            slicer.modules.plots.logic().ShowChartInLayout(chart)

    def _follow(self, newest):
        """Switch to another fold, or to another run: in another folder, or in place of one that was deleted."""
        other = self._log is None or self._log.path.parents[1] != newest.path.parents[1]
        if other or not all(log.path.is_file() for log in self._folds.values()):
            self._folds = {}
        self._log = self._folds.setdefault(newest.path.parent.name, newest)
        self.plots.clear()

    def _foldLogs(self):
        """Return the logs of all folds of this run that have started, by name."""
        for path in self._log.path.parents[1].glob("*/log.jsonl"):
            self._folds.setdefault(path.parent.name, RunLog(path)).update()
        return {log.title: log for _name, log in sorted(self._folds.items())}

    def _showMetrics(self, line):
        self._ui.runLabel.text = _("{run}, {fold}: {percent} % done, {minutes} min").format(
            run=self._log.path.parents[1].name,
            fold=self._log.title,
            percent=f"{100 * line['progress']:.0f}",
            minutes=f"{line['minutes']:.0f}",
        )
        self._ui.runBar.value = round(100 * line["progress"])
        self._ui.figuresLabel.text = _(
            "Dice during training: whole tumor {wt}, core {tc}, enhancing {et}. Loss: {loss}."
        ).format(
            wt=f"{line.get('dice_WT', 0):.2f}",
            tc=f"{line.get('dice_TC', 0):.2f}",
            et=f"{line.get('dice_ET', 0):.2f}",
            loss=f"{line['loss']:.2f}",
        )
        self._showLoad(line)

    def _showLoad(self, line):
        """Show the current load of each expert, with a column for each layer."""
        layers = [name.split("_")[1] for name in self._log.columns("entropy_")]
        loads = [[line[name] for name in self._log.columns(f"load_{layer}_")] for layer in layers]
        rows = [
            (_("Expert {n}").format(n=n), fractions, _MAXIMUM_LOAD)
            for n, fractions in enumerate(zip(*loads, strict=True), 1)
        ]
        if rows:
            rows.append((_("Entropy"), [line[f"entropy_{layer}"] for layer in layers], 1.0))
        self._heat.show([_("Layer {n}").format(n=int(layer) + 1) for layer in layers], rows)

    @staticmethod
    def _runs():
        from magpie_core.models.registry import site_versions

        return site_versions().folder / "runs"
