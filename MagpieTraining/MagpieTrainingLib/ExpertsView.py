"""Section Experts: where each expert of the network worked."""

import qt
import slicer
from MagpieSegmentationLib.SegmentationResult import SegmentationResult
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, MagpieError

from .Colors import distinct
from .ExpertGrid import ExpertGrid
from .ExpertsLogic import regionWords
from .ExpertTables import ExpertTables
from .HeatTable import HeatTable
from .TemplateOverlay import TemplateOverlay

_SWATCH_PIXELS = 12


class ExpertsView:
    """Maps over the study or the template, how the experts go with the regions, and who works where the mouse is.

    Parameters
    ----------
    ui
        Widgets by name.
    logic
        ExpertsLogic.
    attention
        AttentionLogic.
    tell
        Function that shows a MagpieError.
    started
        Function to call when a job is under way.
    """

    def __init__(self, ui, logic, attention, tell, started):
        self._ui = ui
        self._logic = logic
        self._attention = attention
        self._template = TemplateOverlay()
        self._grid = ExpertGrid()
        self._backgrounds = []
        self._noTemplate = ""
        self._noAttention = ""
        self._result = None
        self._layers = [None]
        self._tell = tell
        self._started = started
        self._heat = HeatTable(ui.agreementTable)
        self._tables = ExpertTables()
        self._crosshair = None
        self._crosshairTag = None
        ui.resultSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.update)
        ui.explainButton.connect("clicked(bool)", self.onExplain)
        for node in logic.colors():
            ui.colorSelector.addItem(node.GetName())
        for selector in (ui.expertSelector, ui.backgroundSelector, ui.colorSelector):
            selector.connect("currentIndexChanged(int)", self.onShow)
        ui.layerSelector.addItem(_("The finest part"))
        ui.opacitySlider.connect("valueChanged(int)", self.onShow)
        ui.thresholdSlider.connect("valueChanged(int)", self.onShow)
        ui.layerSelector.connect("currentIndexChanged(int)", self.onLayer)
        ui.gridBox.connect("toggled(bool)", self.onGrid)
        ui.barsButton.connect("clicked(bool)", self.onShowBars)
        ui.attentionButton.connect("clicked(bool)", self.onAttend)
        for task, done in ((logic.explaining, self._onFinished), (attention.attending, self._onAttended)):
            task.progressChanged.connect(self._showProgress)
            task.finished.connect(done)
            task.failed.connect(self._onFailed)
        self.update()

    def refresh(self):
        """Show the maps and tables of the scene: after a look, and when another scene or session begins."""
        maps, most = self._logic.maps(), self._logic.dominant()
        selector = self._ui.expertSelector
        blocked = selector.blockSignals(True)
        index = selector.currentIndex
        selector.clear()
        for number, node in enumerate(maps):
            swatch = qt.QPixmap(_SWATCH_PIXELS, _SWATCH_PIXELS)
            swatch.fill(qt.QColor(*(round(255 * level) for level in distinct(number))))
            selector.addItem(qt.QIcon(swatch), node.GetName())
        if most is not None:
            selector.addItem(most.GetName())
        selector.setCurrentIndex(min(max(index, 0), selector.count - 1))
        selector.blockSignals(blocked)
        self._ui.crosshairTable.setMRMLTableNode(self._tables.crosshair() if maps else None)
        columns, rows = self._tables.regions()
        # Of the experts only the number: with their regions' names the columns would not fit beside them.
        short = [(_("Expert {n}").format(n=n), numbers, 1.0) for n, (_name, numbers) in enumerate(rows, 1)]
        bounds = [(name, numbers, None) for name, numbers in rows[len(maps) :]]
        self._heat.show(columns, [*short[: len(maps)], *bounds])
        self._ui.expertsLabel.text = self._logic.told()
        self.update()

    def update(self, *_ignored):
        """Enable what can be done now, and say why the rest cannot."""
        result = SegmentationResult.of(self._ui.resultSelector.currentNode())
        running = self._logic.explaining.isRunning or self._attention.attending.isRunning
        if running:
            reason = _("The experts are being looked at")
        elif result is None:
            reason = _("Choose a segmentation that MAGPIE made")
        elif not result.volumes():
            reason = _("The images of this result are not in the scene any more")
        else:
            reason = ""
        self._ui.explainButton.enabled = not reason
        self._ui.explainButton.toolTip = reason or _(
            "Look at the study again, and keep where each expert was asked"
        )
        count = len(self._logic.maps())
        for widget in (
            self._ui.expertSelector,
            self._ui.backgroundSelector,
            self._ui.opacitySlider,
            self._ui.gridBox,
            self._ui.barsButton,
        ):
            widget.enabled = count > 0
        for widget in (self._ui.colorSelector, self._ui.thresholdSlider):
            widget.enabled = 0 <= self._ui.expertSelector.currentIndex < count
        self._updateAttention(running)
        self._listBackgrounds(self._logic.result())

    def _updateAttention(self, running):
        if running:
            reason = _("The experts are being looked at")
        elif not (self._logic.inputs and self._logic.maps()):
            reason = _("Show what the experts saw first")
        else:
            reason = self._noAttention
        self._ui.attentionButton.enabled = not reason
        self._ui.attentionButton.toolTip = reason or _(
            "For the curious: the places that the network looks at to judge the crosshair's place, as lines in the "
            "slices. Hold Shift and move the mouse to place the crosshair"
        )

    def _listBackgrounds(self, result):
        """Offer the images of the study, and the template if there is one."""
        nodes = list(result.volumes().values()) if result is not None and self._logic.maps() else []
        template = self._template.volume()
        if nodes and template is not None:
            nodes.append(template)
        self._ui.backgroundSelector.toolTip = " ".join(
            filter(None, (_("The image under the maps."), "" if template is not None else self._noTemplate))
        )
        known = [node.GetID() for node in nodes]
        if known == self._backgrounds:
            return
        self._backgrounds = known
        selector = self._ui.backgroundSelector
        blocked = selector.blockSignals(True)
        selector.clear()
        for node in nodes:
            selector.addItem(node.GetName())
        if nodes and result.referenceNode is not None and result.referenceNode.GetID() in known:
            selector.setCurrentIndex(known.index(result.referenceNode.GetID()))
        selector.blockSignals(blocked)

    def onExplain(self, *_ignored):
        """Ask the worker for the maps."""
        self._result = SegmentationResult.of(self._ui.resultSelector.currentNode())
        try:
            self._logic.start(self._result)
        except MagpieError as error:
            self._tell(error)
        else:
            self._ui.expertsLabel.text = _("Starting")
            self._started()
            self.update()

    def onLayer(self, index):
        """Remember which experts are to be looked at next."""
        self._logic.layer = self._layers[index] if index >= 0 else None

    def onShow(self, *_ignored):
        """Lay the chosen expert's map, or all of them side by side, over the chosen image."""
        self.update()
        maps = self._logic.maps()
        index = self._ui.expertSelector.currentIndex
        shown = [*maps, self._logic.dominant()]
        if not 0 <= index < len(shown) or shown[index] is None:
            return
        colors = self._logic.colors()
        color = self._ui.colorSelector.currentIndex
        self._logic.paint(
            self._ui.thresholdSlider.value / 100, colors[color] if 0 <= color < len(colors) else None
        )
        opacity = self._ui.opacitySlider.value / 100
        background = self._background()
        layers = {"foreground": shown[index], "foregroundOpacity": opacity}
        if background is not None:  # Slicer takes None for "nothing"
            layers["background"] = background
        slicer.util.setSliceViewerLayers(**layers)
        if self._grid.isShown:
            self._grid.show(maps, background, opacity)

    def onGrid(self, checked):
        """Show all experts side by side, or go back to the layout of before."""
        if checked:
            self._grid.show(self._logic.maps(), self._background(), self._ui.opacitySlider.value / 100)
        else:
            self._grid.hide()
            self.onShow()

    def onShowBars(self, *_ignored):
        """Show the experts at the mouse as bars in a plot view."""
        slicer.modules.plots.logic().ShowChartInLayout(self._tables.chart())

    def onAttend(self, *_ignored):
        """Ask the worker where the attention looks from the crosshair."""
        ras = (0.0, 0.0, 0.0) if self._crosshair is None else self._crosshair.GetCrosshairRAS()
        self._attention.start(self._logic.inputs, ras)
        self._ui.expertsLabel.text = _("Starting")
        self._started()
        self.update()

    def _background(self):
        index = self._ui.backgroundSelector.currentIndex
        known = 0 <= index < len(self._backgrounds)
        return slicer.mrmlScene.GetNodeByID(self._backgrounds[index]) if known else None

    def watchCrosshair(self):
        """Let the table follow the mouse."""
        for node in slicer.util.getNodesByClass("vtkMRMLCrosshairNode"):
            if self._crosshair is None:
                self._crosshair = node
                event = slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
                self._crosshairTag = node.AddObserver(event, lambda *_ignored: self.showCrosshair())

    def letGo(self):
        """Follow the mouse no more, give back the layout, and forget the study."""
        self._logic.inputs = {}
        self._grid.hide()
        self._ui.gridBox.checked = False
        if self._crosshair is not None:
            self._crosshair.RemoveObserver(self._crosshairTag)
            self._crosshair = None

    def showCrosshair(self):
        """Show who works where the mouse is."""
        ras = [0.0, 0.0, 0.0]
        if self._crosshair is None or not self._crosshair.GetCursorPositionRAS(ras):
            return
        place = self._template.placeOf(ras)
        self._ui.templateLabel.text = (
            ""
            if place is None
            else _("Place in the template (MNI, mm): {x}, {y}, {z}").format(
                **{axis: f"{value:.0f}" for axis, value in zip("xyz", place, strict=True)}
            )
        )
        maps = self._logic.maps()
        if maps:
            self._tables.showAtCrosshair([node.GetName() for node in maps], self._logic.at(ras))

    def _showProgress(self, fraction, stage):
        self._ui.expertsLabel.text = f"{stage} ({100 * fraction:.0f} %)"

    def _onFinished(self, message):
        if not slicer.mrmlScene.IsNodePresent(self._result.segmentationNode):  # of a scene that was closed
            self._onFailed(Cancelled())
            return
        self._template.remove()
        self._attention.remove()
        self._noTemplate = message.get("no_template", "")
        self._noAttention = message.get("no_attention", "")
        try:
            self._logic.load(message, self._result)
            if message.get("template"):
                self._template.load(**message["template"])
        except MagpieError as error:
            self._onFailed(error)
            return
        self._listLayers(message["layers"])
        self._keepAgreement(message["agreement"])
        self.watchCrosshair()
        self.refresh()
        self.onShow()

    def _listLayers(self, names):
        """Offer the parts of the network that was looked at; what was chosen stays so if it has it."""
        selector = self._ui.layerSelector
        blocked = selector.blockSignals(True)
        selector.clear()
        selector.addItem(_("The finest part"))
        self._layers = [None, *names]
        for number, name in enumerate(names, 1):
            selector.addItem(_("Part {n}: {place}").format(n=number, place=name))
        if len(names) > 1:
            selector.addItem(_("All parts together"))
            self._layers.append("mean")
        if self._logic.layer not in self._layers:
            self._logic.layer = None
        selector.setCurrentIndex(self._layers.index(self._logic.layer))
        selector.blockSignals(blocked)
        selector.enabled = len(names) > 1

    def _onAttended(self, message):
        models = self._attention.load(message)
        self._ui.expertsLabel.text = _(
            "Lines lead to the places that are looked at from the crosshair, brighter for more weight; "
            "each of the {n} layers can be hidden in the module Data."
        ).format(n=len(models))
        self.update()

    def _keepAgreement(self, rows):
        """Keep a row for each expert, and below what chance gives and the most that is possible."""
        words = regionWords()
        rows = [row for row in rows if row["where"] == "box"]
        overlaps = zip(*(row["ious"] for row in rows), strict=True)
        kept = [(node.GetName(), column) for node, column in zip(self._logic.maps(), overlaps, strict=False)]
        kept.append((_("Rng"), [row["control"] for row in rows]))
        kept.append((_("At most"), [row["ceiling"] for row in rows]))
        reference = self._result.referenceNode
        study = reference.GetName() if reference is not None else ""
        self._tables.keepRegions(study, [words[row["region"]] for row in rows], kept)

    def _onFailed(self, error):
        self._ui.expertsLabel.text = _("Cancelled") if isinstance(error, Cancelled) else _("Not done")
        self.update()
        if not isinstance(error, Cancelled):
            self._tell(error)
