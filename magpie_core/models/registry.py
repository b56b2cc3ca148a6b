"""Find models: those shipped with MAGPIE or in $MAGPIE_MODELS, and the site's versions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from magpie_core.errors import MagpieError, ModelError
from magpie_core.models.versions import VersionStore
from magpie_core.storage.manifest import MANIFEST_NAME, file_hash
from magpie_core.storage.resources import resources_folder
from magpie_core.storage.site import site_folder

if TYPE_CHECKING:
    from magpie_core.models.model import Model

DEFAULT_MODEL = "magpie-s"
_NONCOMMERCIAL = "-NC"  # in the SPDX identifiers of such licenses


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
    return VersionStore(site_folder(), reserved=_installed_names)


def installed_models() -> list[Path]:
    """Return the folders of the installed models, by name.

    Raises:
        ModelError: If there is no folder of models.
    """
    return sorted(path for path in models_folder().iterdir() if path.is_dir())


def _installed_names() -> list[str]:
    try:
        return [path.name for path in installed_models()]
    except MagpieError:
        return []


def default_model() -> str:
    """Return the name of the weights to use unless a site version is active: $MAGPIE_DEFAULT_MODEL, else magpie-s."""
    return os.environ.get("MAGPIE_DEFAULT_MODEL") or DEFAULT_MODEL


def describe_model(name: str | Path | None = None) -> dict[str, str]:
    """Return "name" (with the edition) and "license" (SPDX) of the model that `find_model` finds, as a report does.

    Raises:
        ModelError: If there is no such model, or its description cannot be read.
    """
    from magpie_core.models.description import read_description

    found = read_description(find_model(name))
    return {"name": f"{found.name} {found.version}", "license": found.license}


def is_noncommercial(license_id: str) -> bool:
    """Whether a license (SPDX identifier) forbids commercial use."""
    return _NONCOMMERCIAL in license_id


def find_model(name: str | Path | None = None) -> Path:
    """Return the folder of a model, given by the name of an installed model or of a site version, or by its path.

    None is the site's active version, else the default model. A folder of the same name does not count (./NAME does).

    Raises:
        ModelError: If there is no such model; the message lists the installed ones.
    """
    if name is not None and (isinstance(name, Path) or name != Path(name).name) and Path(name).is_dir():
        return Path(name)
    site = site_versions()
    if name is None and (active := site.active) is not None:
        return active.model
    versions = {version.name: version.model for version in site.versions()}
    folder = models_folder()
    wanted = folder / str(name or default_model())
    for found in (wanted, versions.get(wanted.name), Path(name) if name else None):
        if found is not None and found.is_dir():
            return found
    installed = [*(path.name for path in installed_models()), *versions]
    raise ModelError(
        f"There is no model {wanted.name!r}",
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
