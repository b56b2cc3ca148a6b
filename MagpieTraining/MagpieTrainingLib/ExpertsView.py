"""Section Experts: maps of the routing weight of each expert."""

import slicer
from MagpieSegmentationLib.ModelChoice import ensureModel
from MagpieSegmentationLib.SegmentationResult import SegmentationResult
from MagpieSegmentationLib.WidgetState import enable
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled, MagpieError

from .ExpertGrid import ExpertGrid
from .ExpertsAtMouse import ExpertsAtMouse, swatch
from .ExpertsLogic import regionHeaders
from .ExpertTables import ExpertTables
from .HeatTable import HeatTable
from .TemplateOverlay import TemplateOverlay


class ExpertsView:
    """Maps over the study or the template, and agreement with the regions.

    Parameters
    ----------
    ui
        Widgets by name.
    logic
        ExpertsLogic.
    attention
        AttentionLogic.
    showError
        Function that shows a MagpieError.
    started
        Function to call when a job was started.

    Attributes
    ----------
    grid
        ExpertGrid.
    mouse
        ExpertsAtMouse.
    """

    def __init__(self, ui, logic, attention, showError, started):
        self._ui = ui
        self._logic = logic
        self._attention = attention
        self._template = TemplateOverlay()
        self.grid = ExpertGrid()
        self.mouse = ExpertsAtMouse(ui, logic, self._template)
        self._isOpen = False
        self._isUnseen = False
        self._backgrounds = []
        self._noTemplate = ""
        self._noAttention = ""
        self._result = None
        self._layers = [None]
        self._showError = showError
        self._started = started
        self._heat = HeatTable(ui.agreementTable)
        self._tables = ExpertTables()
        ui.resultSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.update)
        ui.explainButton.connect("clicked(bool)", self.onExplain)
        for node in logic.colors():
            ui.colorSelector.addItem(node.GetName())
        for selector in (ui.expertSelector, ui.backgroundSelector, ui.colorSelector):
            selector.connect("currentIndexChanged(int)", self.onShow)
        ui.layerSelector.addItem(_("Finest layer"))
        ui.opacitySlider.connect("valueChanged(int)", self.onShow)
        ui.thresholdSlider.connect("valueChanged(int)", self.onShow)
        ui.layerSelector.connect("currentIndexChanged(int)", self.onLayer)
        ui.gridBox.connect("toggled(bool)", self.onGrid)
        ui.attentionButton.connect("clicked(bool)", self.onAttend)
        for task, done in ((logic.explaining, self._onFinished), (attention.attending, self._onAttended)):
            task.progressChanged.connect(self._showProgress)
            task.finished.connect(done)
            task.failed.connect(self._onFailed)
        self.update()

    def enter(self):
        """Show the maps and tables of the scene, and follow the mouse."""
        self._isOpen = True
        self._chooseResult()
        self.refresh()
        self.mouse.observe()
        if self._isUnseen:
            self.onShow()

    def _chooseResult(self):
        """Choose the newest segmentation of MAGPIE, unless one is chosen."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        results = [node for node in nodes if SegmentationResult.of(node) is not None]
        if self._ui.resultSelector.currentNode() is None and results:
            self._ui.resultSelector.setCurrentNode(results[-1])

    def exit(self):
        """Follow the mouse no longer; maps that are being computed are loaded, but the views stay as they are."""
        self._isOpen = False
        self.mouse.release()

    def refresh(self):
        """Show the maps and tables of the scene."""
        maps, dominant = self._logic.maps(), self._logic.dominant()
        selector = self._ui.expertSelector
        blocked = selector.blockSignals(True)
        index = selector.currentIndex
        selector.clear()
        for number, node in enumerate(maps):
            selector.addItem(swatch(number), node.GetName())
        if dominant is not None:
            selector.addItem(dominant.GetName())
        selector.setCurrentIndex(min(max(index, 0), selector.count - 1))
        selector.blockSignals(blocked)
        self.mouse.refresh()
        if maps and self.grid.isShown:  # as saved with the scene
            self.grid.register(len(maps))
        self._updateGridBox()
        columns, rows = self._tables.regions()
        # Numbers of the experts only: names with regions would leave no space for the columns.
        short = [(_("Expert {n}").format(n=n), numbers, 1.0) for n, (_name, numbers) in enumerate(rows, 1)]
        bounds = [(name, numbers, None) for name, numbers in rows[len(maps) :]]
        self._heat.show(columns, [*short[: len(maps)], *bounds], dict(regionHeaders().values()))
        self._ui.expertsLabel.text = self._logic.description()
        self.update()

    def update(self, *_ignored):
        """Enable what can be done now, and say why the rest cannot."""
        result = SegmentationResult.of(self._ui.resultSelector.currentNode())
        running = self._logic.explaining.isRunning or self._attention.attending.isRunning
        if running:
            reason = _("Expert maps are being computed")
        elif result is None:
            reason = _("Choose a segmentation of MAGPIE")
        elif not result.volumes():
            reason = _("The images of this segmentation are not in the scene any more")
        else:
            reason = ""
        enable(self._ui.explainButton, reason, _("Segment the study again and map the routing of each expert"))
        count = len(self._logic.maps())
        for widget in (self._ui.expertSelector, self._ui.backgroundSelector, self._ui.opacitySlider, self._ui.gridBox):
            widget.enabled = count > 0
        for widget in (self._ui.colorSelector, self._ui.thresholdSlider):
            widget.enabled = 0 <= self._ui.expertSelector.currentIndex < count
        self._updateAttention(running)
        self._listBackgrounds(self._logic.result())

    def _updateAttention(self, running):
        if running:
            reason = _("Expert maps are being computed")
        elif not (self._logic.inputs and self._logic.maps()):
            reason = _("Compute the expert maps first")
        else:
            reason = self._noAttention
        enable(
            self._ui.attentionButton,
            reason,
            _(
                "Show the sampling points of the attention at the crosshair as lines in the slices.\n"
                "Hold Shift and move the mouse to move the crosshair"
            ),
        )

    def _listBackgrounds(self, result):
        """List the images of the study, and the template if there is one."""
        nodes = list(result.volumes().values()) if result is not None and self._logic.maps() else []
        template = self._template.volume()
        if nodes and template is not None:
            nodes.append(template)
        self._ui.backgroundSelector.toolTip = " ".join(
            filter(None, (_("Image under the maps."), "" if template is not None else self._noTemplate))
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
        """Compute the expert maps."""
        self._result = SegmentationResult.of(self._ui.resultSelector.currentNode())
        self._start(lambda: self._logic.start(self._result))

    def onLayer(self, index):
        """Store the layer to map next."""
        self._logic.layer = self._layers[index] if index >= 0 else None

    def onShow(self, *_ignored):
        """Show the map of the selected expert, or all maps side by side, over the selected image."""
        self.update()
        self._isUnseen = False
        maps = self._logic.maps()
        index = self._ui.expertSelector.currentIndex
        shown = [*maps, self._logic.dominant()]
        if not 0 <= index < len(shown) or shown[index] is None:
            return
        colors = self._logic.colors()
        color = self._ui.colorSelector.currentIndex
        self._logic.setDisplay(
            self._ui.thresholdSlider.value / 100, colors[color] if 0 <= color < len(colors) else None
        )
        opacity = self._ui.opacitySlider.value / 100
        background = self._background()
        layers = {"foreground": shown[index], "foregroundOpacity": opacity}
        if background is not None:  # None would remove the background
            layers["background"] = background
        slicer.util.setSliceViewerLayers(**layers)
        if self.grid.isShown:
            self.grid.show(maps, background, opacity)

    def onGrid(self, checked):
        """Show all experts side by side, or restore the previous layout."""
        if checked:
            self.grid.show(self._logic.maps(), self._background(), self._ui.opacitySlider.value / 100)
        else:
            self.grid.hide()
            self.onShow()

    def onAttend(self, *_ignored):
        """Compute the attention points of the crosshair position."""
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        self._start(lambda: self._attention.start(self._logic.inputs, crosshair.GetCrosshairRAS()))

    def _start(self, start):
        """Start a job; the user may be asked for the weights to use, and decline."""
        try:
            ensureModel()
            start()
        except MagpieError as error:
            if not isinstance(error, Cancelled):
                self._showError(error)
            return
        self._ui.expertsLabel.text = _("Starting")
        self._started()
        self.update()

    def _background(self):
        index = self._ui.backgroundSelector.currentIndex
        known = 0 <= index < len(self._backgrounds)
        return slicer.mrmlScene.GetNodeByID(self._backgrounds[index]) if known else None

    def reset(self):
        """Cancel the jobs, remove the observers, restore the layout, and forget the study."""
        self._logic.explaining.cancel()
        self._attention.attending.cancel()
        self._logic.inputs = {}
        self._isUnseen = False
        self.grid.hide()
        self._updateGridBox()
        self.mouse.reset()

    def _updateGridBox(self):
        blocked = self._ui.gridBox.blockSignals(True)
        self._ui.gridBox.checked = self.grid.isShown
        self._ui.gridBox.blockSignals(blocked)

    def _showProgress(self, fraction, stage):
        self._ui.expertsLabel.text = f"{stage} ({100 * fraction:.0f} %)"

    def _onFinished(self, message):
        self._ui.expertsLabel.text = _("Loading the maps")
        self._ui.expertsLabel.repaint()
        if slicer.mrmlScene.IsNodePresent(self._result.segmentationNode):
            self.showMaps(message, self._result)
        else:  # the scene was closed
            self._onFailed(Cancelled())

    def showMaps(self, message, result):
        """Load and show the maps of a SegmentationResult; `message` is the result of the worker."""
        with slicer.util.RenderBlocker():  # else the views are drawn after each change of a node
            try:
                self._load(message, result)
            except MagpieError as error:
                self._onFailed(error)
                return
            self.refresh()
            if self._isOpen:
                self.onShow()
            else:
                self._isUnseen = True

    def _load(self, message, result):
        self._attention.remove()
        self._noTemplate = message.get("no_template", "")
        self._noAttention = message.get("no_attention", "")
        self._logic.load(message, result)
        if message.get("template"):
            self._template.load(**message["template"])
        else:
            self._template.remove()
        self._listLayers(message["layers"])
        self._storeAgreement(message["agreement"], result)
        self._logic.file([*self._template.nodes(), self._tables.node()], result)

    def _listLayers(self, names):
        """List the mixture-of-experts layers of the network; the selection stays if the network has it."""
        selector = self._ui.layerSelector
        blocked = selector.blockSignals(True)
        selector.clear()
        selector.addItem(_("Finest layer"))
        self._layers = [None, *names]
        for number, name in enumerate(names, 1):
            selector.addItem(_("Layer {n}: {name}").format(n=number, name=name))
        if len(names) > 1:
            selector.addItem(_("Mean of all layers"))
            self._layers.append("mean")
        if self._logic.layer not in self._layers:
            self._logic.layer = None
        selector.setCurrentIndex(self._layers.index(self._logic.layer))
        selector.blockSignals(blocked)
        selector.enabled = len(names) > 1

    def _onAttended(self, message):
        if not self._logic.maps():  # the scene was closed
            self._onFailed(Cancelled())
            return
        models = self._attention.load(message)
        self._logic.file(models, self._logic.result())
        self._ui.expertsLabel.text = _(
            "Lines lead from the crosshair to the attention points, brighter for higher weights; "
            "each of the {n} layers can be hidden in the module Data."
        ).format(n=len(models))
        self.update()

    def _storeAgreement(self, rows, result):
        """Store a row of overlaps for each expert, and rows of the chance level and the upper bound."""
        headers = regionHeaders()
        rows = [row for row in rows if row["where"] == "box"]
        overlaps = zip(*(row["ious"] for row in rows), strict=True)
        table = [(node.GetName(), column) for node, column in zip(self._logic.maps(), overlaps, strict=False)]
        table.append((_("Chance level"), [row["chance_level"] for row in rows]))
        table.append((_("Upper bound"), [row["upper_bound"] for row in rows]))
        reference = result.referenceNode
        study = reference.GetName() if reference is not None else ""
        self._tables.setRegions(study, [headers[row["region"]][0] for row in rows], table)

    def _onFailed(self, error):
        self._ui.expertsLabel.text = _("Cancelled") if isinstance(error, Cancelled) else _("Failed")
        self.update()
        if not isinstance(error, Cancelled):
            self._showError(error)
