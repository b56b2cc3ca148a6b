"""Resources that are installed with the package."""

from __future__ import annotations

from pathlib import Path

from magpie_core.errors import ResourceError


def resources_folder(name: str) -> Path:
    """Return the path of a resource folder of this installation (ResourceError if it is missing)."""
    package = Path(__file__).resolve().parents[1]
    candidates = [package / "resources" / name, package.parent / "Resources" / name]
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise ResourceError(
        f"Cannot find the folder {name} of this installation",
        cause=f"looked in {', '.join(map(str, candidates))}",
        remedy="Install MAGPIE again",
    )
