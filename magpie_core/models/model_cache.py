"""The model kept warm between jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from magpie_core.models.model import Model


class ModelCache:
    """The model of the last job, loaded again only if another is asked for or its folder was changed."""

    def __init__(self) -> None:
        self._key: tuple[Path, str] | None = None
        self._model: Model | None = None

    def get(self, model: str | None) -> Model:
        """The model at a path or under a name, or the default model if None.

        Raises:
            ModelError: If there is no such model, or if it does not verify.
        """
        from magpie_core.models.registry import find_model
        from magpie_core.storage.manifest import MANIFEST_NAME, file_hash

        folder = find_model(model).resolve()
        manifest = folder / MANIFEST_NAME
        key = (folder, file_hash(manifest) if manifest.is_file() else "")
        if self._model is None or key != self._key:
            from magpie_core.models.model import load_model

            self._model, self._key = None, None  # the old model's memory goes first
            self._model, self._key = load_model(folder), key
        return self._model
