"""The parts of the panel MagpieTraining, one class a file; what it shares with MagpieSegmentation lies there."""

from MagpieSegmentationLib.CorePackage import findCorePackage

findCorePackage()
