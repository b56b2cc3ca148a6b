"""Glioma segmentation in brain MRI by a neural network in a worker process."""

import sys
from pathlib import Path

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
    from MagpieSegmentationLib.InstallLogic import InstallLogic
    from MagpieSegmentationLib.Panel import Panel
    from MagpieSegmentationLib.SegmentationImporter import SegmentationImporter
    from MagpieSegmentationLib.SegmentationLogic import SegmentationLogic
    from MagpieSegmentationLib.StudyLoader import StudyLoader

    from magpie_core.errors import Cancelled, MagpieError
else:

    class SegmentationLogic:
        """An older Slicer shows one sentence and computes nothing."""


_RESOURCES = Path(__file__).resolve().parent / "Resources"


class MagpieSegmentation(ScriptedLoadableModule):
    """Metadata of the module."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("MAGPIE Glioma Segmentation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "Terminologies", "Volumes"]
        parent.contributors = ["The MAGPIE developers (MAGPIE)"]
        parent.helpText = _(
            "Segments a glioma in T1, T1ce, T2 and FLAIR, or any subset of them: enhancing tumor, necrotic or "
            "non-enhancing core, and edema. Raw images are co-registered and brain-extracted first. Everything is "
            "computed on this computer. See the "
            "<a href='https://github.com/SlicerMAGPIE/SlicerMAGPIE/blob/main/docs/tutorial.md'>tutorial</a>.<br>"
            "Research use only, not for clinical decisions."
        )
        parent.acknowledgementText = _(
            "Two sets of weights come with MAGPIE, and you choose: magpie-s-synthetic (Apache-2.0), trained on "
            "synthetic images, and magpie-s (CC BY-NC-SA 4.0: research only, no commercial use), trained on data of "
            "the BraTS challenge too. The card in the folder of each lists the data."
        )

        if isSupported():
            slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Register the synthetic sample study in the module Sample Data; it is not downloaded."""
    try:
        import SampleData
    except ImportError:
        return
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="MAGPIE",
        sampleName="Synthetic glioma",
        uris=[],
        fileNames=[],
        customDownloader=lambda source: loadSample(),
        thumbnailFileName=str(_RESOURCES / "Icons" / "MagpieSegmentation.png"),
    )


def loadSample():
    """Make the sample study for the module Sample Data; missing packages are installed first, with consent."""
    logic = MagpieSegmentationLogic()
    try:
        InstallLogic(_RESOURCES / "requirements.txt").ensure(panels=False)
        slicer.util.showStatusMessage(_("Making a synthetic study"))
        nodes = logic.makeSample()
    except Cancelled:
        nodes = []
    except MagpieError as error:
        slicer.util.errorDisplay(str(error), windowTitle="MAGPIE")
        nodes = []
    finally:
        logic.close()
    if nodes:
        slicer.util.setSliceViewerLayers(background=nodes[0], fit=True)
    return nodes


class MagpieSegmentationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Connects MagpieSegmentationLib.Panel to Slicer."""

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
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MagpieSegmentation.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MagpieSegmentationLogic()
        self.panel = Panel(
            slicer.util.childWidgetVariables(uiWidget), self.logic, InstallLogic(self.resourcePath("requirements.txt"))
        )
        SegmentationImporter.loadTerminology()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self.onNodeRemoved)
        if self.parent.isEntered:
            self.enter()

    def enter(self):
        """Called whenever the module is opened."""
        if self.panel is not None:
            self.panel.enter(self.logic.getParameterNode())

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
        """Called by the button Reload; imports the modules of MagpieSegmentationLib anew, too."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "MagpieSegmentationLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, caller, event):
        """Cancel the segmentation of volumes that are about to be removed."""
        self.panel.closeScene()

    def onSceneEndImport(self, caller, event):
        """Bind the panel again: the parameter node may have new values."""
        if self.parent.isEntered:
            self.panel.show(None)
            self.enter()

    def onNodeRemoved(self, caller, event):
        """Show a result no longer that was removed from the scene."""
        self.panel.segment.forgetRemoved()

    def onSceneEndClose(self, caller, event):
        """Bind the panel to the new scene."""
        if self.parent.isEntered:
            self.enter()


class MagpieSegmentationLogic(SegmentationLogic, ScriptedLoadableModuleLogic):
    """Segmentation for scripts: `MagpieSegmentationLogic().run({"T1CE": node, "FLAIR": node})`."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        SegmentationLogic.__init__(self)

    def makeSample(self):
        """Make a synthetic study, wait for it, and return its volume nodes."""
        return list(StudyLoader(self.port).runSample().values())


class MagpieSegmentationTest(ScriptedLoadableModuleTest):
    """Runs the tests of MagpieSegmentationLib.SelfTest in this Slicer."""

    def runTest(self):
        """Called by "Reload and Test", and by ctest."""
        import unittest

        from MagpieSegmentationLib.SelfTest import SelfTest

        # Slicer catches what setup() raises: the panel would stay empty, and the tests would pass.
        widget = slicer.util.getModuleWidget("MagpieSegmentation")
        widget.enter()
        self.assertTrue(widget.panel.isBound)
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(SelfTest)
        outcome = unittest.TextTestRunner(verbosity=2).run(suite)
        self.assertGreater(outcome.testsRun, 0)
        self.assertTrue(outcome.wasSuccessful())
