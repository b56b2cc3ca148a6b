"""The parts of the panel MagpieSegmentation, one class a file."""

from .CorePackage import findCorePackage

findCorePackage()
