"""Import path and resources of magpie_core."""

import importlib.util
import sys
from pathlib import Path


def findCorePackage():
    """Make magpie_core importable: it is on Python's path if installed, and beside the modules in a source tree."""
    sourceTree = Path(__file__).resolve().parents[2]
    if importlib.util.find_spec("magpie_core") is None and (sourceTree / "magpie_core").is_dir():
        sys.path.append(str(sourceTree))


def sharedResource(name):
    """Return the path of a file in the shared Resources folder, e.g. "Colors/MagpieGlioma.csv"."""
    import magpie_core

    package = Path(magpie_core.__file__).resolve().parent
    folders = (package / "resources", package.parent / "Resources")
    return next((folder / name for folder in folders if (folder / name).exists()), folders[-1] / name)
