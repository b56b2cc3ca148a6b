"""The folder of what belongs to a site: its versions of the model, its salt, its names, its runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def site_folder() -> Path:
    """Return $MAGPIE_SITE, else MAGPIE's folder in the user's application data (also without further packages)."""
    if chosen := os.environ.get("MAGPIE_SITE"):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "magpie" / "magpie"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "magpie"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "magpie"
