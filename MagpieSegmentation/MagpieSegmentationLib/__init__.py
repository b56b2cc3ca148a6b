"""The parts of the panel MagpieSegmentation, one class per file."""

from .CorePackage import findCorePackage

findCorePackage()
