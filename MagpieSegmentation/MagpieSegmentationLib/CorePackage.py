"""Makes magpie_core importable."""

import importlib.util
import sys
from pathlib import Path


def findCorePackage():
    """In an installed extension magpie_core is on Python's path; in a source tree it lies beside the modules."""
    sourceTree = Path(__file__).resolve().parents[2]
    if importlib.util.find_spec("magpie_core") is None and (sourceTree / "magpie_core").is_dir():
        sys.path.append(str(sourceTree))


def sharedResource(name):
    """Path of a file in the Resources folder that all modules share, e.g. "Colors/MagpieGlioma.csv"."""
    import magpie_core

    package = Path(magpie_core.__file__).resolve().parent
    folders = (package / "resources", package.parent / "Resources")
    return next((folder / name for folder in folders if (folder / name).exists()), folders[-1] / name)
