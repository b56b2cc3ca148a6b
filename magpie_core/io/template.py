"""The ICBM 152 template: an average head, carried by nilearn's package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from magpie_core.errors import ResourceError

_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


def template_file(part: str) -> Path:
    """File of the template (ICBM 2009a nonlinear symmetric, 1 mm, MNI coordinates), found without importing nilearn.

    Parameters
    ----------
    part
        "t1" (the brain alone), "gm" or "wm" (probabilities of gray and white matter).

    Raises
    ------
    ResourceError
        If nilearn or its template files are not installed.
    """
    package = importlib.util.find_spec("nilearn")
    folder = Path(package.origin).parent / "datasets" / "data" if package and package.origin else None
    if folder is None or not (folder / _FILE.format(part)).is_file():
        raise ResourceError(
            "The template head cannot be found",
            cause="it is part of the package nilearn, which is not installed or lacks its template files",
            remedy="Install MAGPIE's Python packages (command line: pip install 'magpie-core[synthesis]')",
        )
    return folder / _FILE.format(part)
