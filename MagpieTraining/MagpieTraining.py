"""Training module of MAGPIE: cases, training curves, expert maps, model versions."""

import sys

import slicer
from MagpieSegmentationLib.SupportedSlicer import isSupported, showUnsupported
from slicer.i18n import tr as _, translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if isSupported():
    from MagpieTrainingLib.ExpertGrid import ExpertGrid
    from MagpieTrainingLib.TrainingPanel import TrainingPanel


class MagpieTraining(ScriptedLoadableModule):
    """Metadata of the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("MAGPIE Training and Experts")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["MagpieSegmentation", "Volumes", "Tables", "Plots"]
        parent.contributors = ["The MAGPIE developers (MAGPIE)"]
        parent.helpText = _(
            "Training module of MAGPIE Glioma Segmentation: your corrected cases, the progress of a fine-tuning, "
            "maps of the experts of the network, and the versions of the model. See "
            "<a href='https://github.com/SlicerMAGPIE/SlicerMAGPIE/blob/main/docs/explanation/experts.md'>the experts"
            "</a>.<br>"
            "Research use only, not for clinical decisions."
        )
        parent.acknowledgementText = _("See the module MAGPIE Glioma Segmentation.")

        if isSupported():
            ExpertGrid.registerAtStart()


class MagpieTrainingWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Connects MagpieTrainingLib.TrainingPanel to Slicer."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None

    def setup(self):
        """Called when the module is opened first."""
        ScriptedLoadableModuleWidget.setup(self)
        if not isSupported():
            showUnsupported(self.layout)
            return
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MagpieTraining.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MagpieTrainingLogic()
        self.panel = TrainingPanel(slicer.util.childWidgetVariables(uiWidget))
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndClose)
        if self.parent.isEntered:  # after a reload
            self.enter()

    def enter(self):
        """Called whenever the module is opened."""
        if self.panel is not None:
            self.panel.show(self.logic.getParameterNode())

    def exit(self):
        """Called whenever another module is opened; jobs continue."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self):
        """Called when Slicer is closed or the module is reloaded."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()

    def onReload(self):
        """Reload the parts of the panel too."""
        for name in [name for name in sys.modules if name.startswith("MagpieTrainingLib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event):
        """Release the maps and the volumes that are about to be removed."""
        self.panel.experts.reset()
        self.panel.show(None)

    def onSceneEndClose(self, caller, event):
        """Bind the panel to the new scene."""
        if self.parent.isEntered:
            self.enter()


class MagpieTrainingLogic(ScriptedLoadableModuleLogic):
    """Provides the parameter node."""


class MagpieTrainingTest(ScriptedLoadableModuleTest):
    """Opens the module; its parts are tested with those of MagpieSegmentation."""

    def runTest(self):
        """Called by "Reload and Test", and by ctest."""
        slicer.util.selectModule("MagpieTraining")
        widget = slicer.modules.MagpieTrainingWidget
        self.assertIsNotNone(widget.panel, "The panel was not made: see the log for the reason")
        self.assertTrue(widget.panel.isBound)
