"""The parts of the panel MagpieTraining, one class per file; shared parts are in MagpieSegmentationLib."""

from MagpieSegmentationLib.CorePackage import findCorePackage

findCorePackage()
