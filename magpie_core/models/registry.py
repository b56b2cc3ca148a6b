"""Where models live: the folder that ships with MAGPIE, or another that the user names, and the site's own versions."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from magpie_core.errors import ModelError
from magpie_core.models.versions import VersionStore
from magpie_core.storage.resources import resources_folder

DEFAULT_MODEL = "magpie-s"


def models_folder() -> Path:
    """Folder of installed models: $MAGPIE_MODELS, else the models that came with this installation.

    Raises
    ------
    ModelError
        If there is none.
    """
    chosen = os.environ.get("MAGPIE_MODELS")
    if chosen is None or Path(chosen).is_dir():
        return Path(chosen) if chosen else resources_folder("Models")
    raise ModelError(
        "No folder of models was found",
        cause=f"looked in {chosen}",
        remedy="Set MAGPIE_MODELS to the folder that holds your models, or install MAGPIE again",
    )


def site_versions() -> VersionStore:
    """The site's own versions: in $MAGPIE_SITE, else in the user's folder for data of programs."""
    return VersionStore(Path(os.environ.get("MAGPIE_SITE") or platformdirs.user_data_path("magpie")))


def find_model(name: str | Path | None = None) -> Path:
    """Folder of a model: a path, or the name of one of the site's versions or of an installed model.

    None is the version in use at this site, else the default model.

    Raises
    ------
    ModelError
        If there is no such model; the message lists those installed.
    """
    if name is not None and Path(name).is_dir():
        return Path(name)
    site = site_versions()
    if name is None and site.active is not None:
        return site.active.model
    for version in site.versions():
        if version.name == str(name):
            return version.model
    folder = models_folder()
    wanted = folder / str(name or DEFAULT_MODEL)
    if wanted.is_dir():
        return wanted
    installed = sorted(path.name for path in folder.iterdir() if path.is_dir())
    installed += [version.name for version in site.versions()]
    raise ModelError(
        f"There is no model {str(name or DEFAULT_MODEL)!r}",
        cause=f"installed: {', '.join(installed) or 'none'}",
        remedy="Name one of these, or give the path of a model folder",
        source=str(folder),
    )
