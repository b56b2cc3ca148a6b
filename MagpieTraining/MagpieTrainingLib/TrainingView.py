"""Section Training: how the teaching goes, while it goes."""

import slicer
from slicer.i18n import tr as _

from .HeatTable import HeatTable
from .RunLog import RunLog
from .TrainingPlots import TrainingPlots

_MOST_LOAD = 0.5  # two experts see each token


class TrainingView:
    """Follows the newest training of this site.

    Parameters
    ----------
    ui
        Widgets by name.
    """

    def __init__(self, ui):
        self._ui = ui
        self._log = None
        self._folds = {}
        self._plots = TrainingPlots()
        self._heat = HeatTable(ui.loadTable)
        ui.plotsButton.connect("clicked(bool)", self.onShowPlots)
        self.update()

    def update(self):
        """Look for news; cheap if there are none."""
        newest = RunLog.newest(self._runs()) if self._runs().is_dir() else None
        if newest is None:
            self._ui.runLabel.text = _("Nothing was taught in MAGPIE Glioma Segmentation yet.")
            self._ui.plotsButton.enabled = False
            self._ui.plotsButton.toolTip = _("There is nothing to plot yet")
            return
        if self._log is None or self._log.path != newest.path:
            self._follow(newest)
        if self._log.update() and self._log.lines:
            self._plots.show(self._log)
            self._plots.showFolds(self._rounds())
            self._say(self._log.lines[-1])
        self._ui.plotsButton.enabled = bool(self._log.lines)
        self._ui.plotsButton.toolTip = _("Show the curves in a plot view")

    def onShowPlots(self, *_ignored):
        """Show the curve of the overlap in a plot view."""
        chart = self._plots.chart("dice") or self._plots.chart("loss")
        if chart is not None:
            slicer.modules.plots.logic().ShowChartInLayout(chart)

    def _follow(self, newest):
        """Look at another round, or another teaching: in another folder, or in place of one whose logs are gone."""
        other = self._log is None or self._log.path.parents[1] != newest.path.parents[1]
        if other or not all(log.path.is_file() for log in self._folds.values()):
            self._folds = {}
        self._log = self._folds.setdefault(newest.path.parent.name, newest)
        self._plots.clear()

    def _rounds(self):
        """The logs of all rounds of this teaching, by name, as far as they have begun."""
        for path in self._log.path.parents[1].glob("*/log.jsonl"):
            self._folds.setdefault(path.parent.name, RunLog(path)).update()
        return {log.title: log for _name, log in sorted(self._folds.items())}

    def _say(self, line):
        self._ui.runLabel.text = _("{run}, {round}: {percent} % done, {minutes} min").format(
            run=self._log.path.parents[1].name,
            round=self._log.title,
            percent=f"{100 * line['spent']:.0f}",
            minutes=f"{line['minutes']:.0f}",
        )
        self._ui.runBar.value = round(100 * line["spent"])
        self._ui.figuresLabel.text = _(
            "Overlap while learning: whole tumor {wt}, core {tc}, enhancing {et}. Error (loss) {loss}."
        ).format(
            wt=f"{line.get('dice_WT', 0):.2f}",
            tc=f"{line.get('dice_TC', 0):.2f}",
            et=f"{line.get('dice_ET', 0):.2f}",
            loss=f"{line['loss']:.2f}",
        )

        self._showLoad(line)

    def _showLoad(self, line):
        """How the work is shared now, a column for each part of the network that has experts."""
        parts = [name.split("_")[1] for name in self._log.columns("entropy_")]
        loads = [[line[name] for name in self._log.columns(f"load_{part}_")] for part in parts]
        rows = [
            (_("Expert {n}").format(n=n), shares, _MOST_LOAD)
            for n, shares in enumerate(zip(*loads, strict=True), 1)
        ]
        if rows:
            rows.append((_("Undecided"), [line[f"entropy_{part}"] for part in parts], 1.0))
        self._heat.show([_("Part {n}").format(n=int(part) + 1) for part in parts], rows)

    @staticmethod
    def _runs():
        from magpie_core.models.registry import site_versions

        return site_versions().folder / "runs"
