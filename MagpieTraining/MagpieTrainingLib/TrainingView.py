"""Section Training: the metrics of a running training."""

import slicer
from MagpieSegmentationLib.WidgetState import enable
from slicer.i18n import tr as _

from .HeatTable import HeatTable
from .RunLog import SYNTHETIC, RunLog
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

    def update(self):
        """Read new metrics and show them; fast if there are none."""
        newest = RunLog.newest(self._runs()) if self._runs().is_dir() else None
        noPlots = _("There is nothing to plot yet")
        if newest is None:
            self._ui.runLabel.text = _("No fine-tuning was started in MAGPIE Glioma Segmentation yet.")
            self._ui.runBar.visible = self._ui.figuresLabel.visible = False
            self._heat.show([], [])
            enable(self._ui.plotsButton, noPlots, "")
            return
        isOther = self._log is None or self._log.path != newest.path
        if isOther:
            self._follow(newest)
        if (self._log.update() or isOther) and self._log.lines:
            if self._log.countsStudies:
                self._showStudies(self._log.lines[-1])
            else:
                self._showMetrics(self._log.lines[-1])
                if self.plots.areShown:
                    self._showPlots()
        hasCurves = self._log.lines and not self._log.countsStudies
        enable(self._ui.plotsButton, "" if hasCurves else noPlots, _("Show the training curves in a plot view"))

    def onShowPlots(self, *_ignored):
        """Show the Dice curves in a plot view; from now on all charts follow the training."""
        self._showPlots()
        chart = self.plots.chart("dice") or self.plots.chart("loss")
        if chart is not None:
            slicer.modules.plots.logic().ShowChartInLayout(chart)

    def _follow(self, newest):
        """Switch to another fold, or to another run: in another folder, or in place of one that was deleted."""
        other = self._log is None or self._log.path.parents[1] != newest.path.parents[1]
        if other or not all(log.path.is_file() for log in self._folds.values()):
            self._folds = {}
        self._log = newest if newest.countsStudies else self._folds.setdefault(newest.path.parent.name, newest)
        self.plots.restart()

    def _showPlots(self):
        self.plots.show(self._log)
        self.plots.showFolds(self._foldLogs())

    def _foldLogs(self):
        """Return the logs of all folds of this run that have started, by name."""
        for path in self._log.path.parents[1].glob("*/log.jsonl"):
            if path.parent.name != SYNTHETIC:
                self._folds.setdefault(path.parent.name, RunLog(path)).update()
        return {log.title: log for _name, log in sorted(self._folds.items())}

    def _showStudies(self, line):
        self._ui.runLabel.text = _("{run}: synthetic studies for the training are made, {made} of {studies}").format(
            run=self._log.path.parents[1].name, made=line["made"], studies=line["studies"]
        )
        self._showFraction(line["made"] / line["studies"])
        self._ui.figuresLabel.text = _("They keep the model from forgetting. The training starts afterwards.")
        self._heat.show([], [])

    def _showFraction(self, fraction):
        self._ui.runBar.visible = self._ui.figuresLabel.visible = True
        self._ui.runBar.value = round(100 * fraction)

    def _showMetrics(self, line):
        self._ui.runLabel.text = _("{run}, {fold}: {percent} % done, {minutes} min").format(
            run=self._log.path.parents[1].name,
            fold=self._log.title,
            percent=f"{100 * line['progress']:.0f}",
            minutes=f"{line['minutes']:.0f}",
        )
        self._showFraction(line["progress"])
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
