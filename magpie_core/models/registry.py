"""Where models live: the folder that ships with MAGPIE, or another that the user names."""

from __future__ import annotations

import os
from pathlib import Path

from magpie_core.errors import ModelError

DEFAULT_MODEL = "magpie-s"


def models_folder() -> Path:
    """Folder of installed models: $MAGPIE_MODELS, else the models that came with this installation.

    Raises
    ------
    ModelError
        If there is none.
    """
    chosen = os.environ.get("MAGPIE_MODELS")
    package = Path(__file__).resolve().parents[1]
    candidates = (
        [Path(chosen)]
        if chosen
        else [package / "resources" / "Models", package.parent / "Resources" / "Models"]
    )
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise ModelError(
        "No folder of models was found",
        cause=f"looked in {', '.join(map(str, candidates))}",
        remedy="Set MAGPIE_MODELS to the folder that holds your models, or install MAGPIE again",
    )


def find_model(name: str | Path | None = None) -> Path:
    """Folder of a model: a path, the name of an installed model, or the default model if None.

    Raises
    ------
    ModelError
        If there is no such model; the message lists those installed.
    """
    if name is not None and Path(name).is_dir():
        return Path(name)
    folder = models_folder()
    wanted = folder / str(name or DEFAULT_MODEL)
    if wanted.is_dir():
        return wanted
    installed = sorted(path.name for path in folder.iterdir() if path.is_dir())
    raise ModelError(
        f"There is no model {str(name or DEFAULT_MODEL)!r}",
        cause=f"installed: {', '.join(installed) or 'none'}",
        remedy="Name one of these, or give the path of a model folder",
        source=str(folder),
    )
