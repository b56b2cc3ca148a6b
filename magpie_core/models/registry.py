"""Find models: those shipped with MAGPIE or in $MAGPIE_MODELS, and the site's versions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from magpie_core.errors import ModelError
from magpie_core.models.versions import VersionStore
from magpie_core.storage.manifest import MANIFEST_NAME, file_hash
from magpie_core.storage.resources import resources_folder

if TYPE_CHECKING:
    from magpie_core.models.model import Model

DEFAULT_MODEL = "magpie-s"


def models_folder() -> Path:
    """Return the folder of installed models: $MAGPIE_MODELS, else that of this installation.

    Raises:
        ModelError: If there is none.
    """
    chosen = os.environ.get("MAGPIE_MODELS")
    if chosen is None or Path(chosen).is_dir():
        return Path(chosen) if chosen else resources_folder("Models")
    raise ModelError(
        "Cannot find the folder of models",
        cause=f"there is no folder {chosen}",
        remedy="Set the variable MAGPIE_MODELS to the folder of your models, or unset it",
    )


def site_versions() -> VersionStore:
    """Return the site's versions: in $MAGPIE_SITE, else in the user's application data."""
    return VersionStore(Path(os.environ.get("MAGPIE_SITE") or platformdirs.user_data_path("magpie")))


def find_model(name: str | Path | None = None) -> Path:
    """Return the folder of a model, given by its path, or by the name of a site version or of an installed model.

    None is the site's active version, else the default model.

    Raises:
        ModelError: If there is no such model; the message lists the installed ones.
    """
    if name is not None and Path(name).is_dir():
        return Path(name)
    site = site_versions()
    if name is None and site.active is not None:
        return site.active.model
    versions = {version.name: version.model for version in site.versions()}
    if str(name) in versions:
        return versions[str(name)]
    folder = models_folder()
    wanted = folder / str(name or DEFAULT_MODEL)
    if wanted.is_dir():
        return wanted
    installed = [*sorted(path.name for path in folder.iterdir() if path.is_dir()), *versions]
    raise ModelError(
        f"There is no model {str(name or DEFAULT_MODEL)!r}",
        cause=f"installed: {', '.join(installed) or 'none'}",
        remedy="Choose one of these, or give the path of a model folder",
        source=str(folder),
    )


class ModelCache:
    """The model of the last job, loaded again only if another is wanted or its folder was changed."""

    def __init__(self) -> None:
        self._key: tuple[Path, str] | None = None
        self._model: Model | None = None

    def get(self, name: str | None) -> Model:
        """Load the model that `find_model` finds.

        Raises:
            ModelError: If there is no such model, or it does not verify.
        """
        folder = find_model(name).resolve()
        manifest = folder / MANIFEST_NAME
        key = (folder, file_hash(manifest) if manifest.is_file() else "")
        if self._model is None or key != self._key:
            from magpie_core.models.model import load_model

            self._model, self._key = None, None  # free the other model's memory first
            self._model, self._key = load_model(folder), key
        return self._model
