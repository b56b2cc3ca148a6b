"""What a model was trained on, its ancestors included, and which weights never saw a case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from magpie_core.cohort.case import Case
from magpie_core.cohort.seen import SEEN, Seen
from magpie_core.models.model import Model, load_model
from magpie_core.models.versions import VersionStore
from magpie_core.storage.manifest import MANIFEST_NAME, file_hash


def seen_by(model: Model, find: Callable[[str], Model | None]) -> Seen:
    """Return all that a model and its ancestors saw.

    Args:
        find: Returns a model by its hash, None if it is gone; for the ancestors of models of version 0.5.
    """
    seen = Seen.by(model.description.training)
    start = model.description.training.get("start")
    if SEEN in model.description.training or not isinstance(start, str):
        return seen
    ancestor = find(start)
    return seen if ancestor is None else seen | seen_by(ancestor, find)


@dataclass(frozen=True)
class Lineage:
    """The model in use, with the weights of it that never saw some of the cases.

    Attributes:
        current: The model in use.
        folds: Its fold models, each of which was trained, and whose ancestors were, on all but one fold's cases.
        ancestors: Models it came from, the nearest first.
        find: Returns a model by its hash, None if it is gone.
    """

    current: Model
    folds: Sequence[Model] = ()
    ancestors: Sequence[Model] = ()
    find: Callable[[str], Model | None] = lambda _hash: None

    def unseen(self, cases: Sequence[Case]) -> Model | None:
        """Return the weights of the model in use that saw none of the cases: it itself, or one of its folds."""
        return next((model for model in (self.current, *self.folds) if self._is_clean(model, cases)), None)

    def start(self, cases: Sequence[Case]) -> Model | None:
        """Return what to start a training from that must not have seen the cases; None if everything saw them."""
        found = self.unseen(cases)
        return found or next((model for model in self.ancestors if self._is_clean(model, cases)), None)

    def _is_clean(self, model: Model, cases: Sequence[Case]) -> bool:
        seen = seen_by(model, self.find)
        return not any(seen.holds(case) for case in cases)


def lineage_of(current: Model, site: VersionStore, installed: Sequence[Path]) -> Lineage:
    """Return the lineage of a model: what lies in the site's versions, and in the folders of installed models."""
    versions = site.versions()
    folders = {_manifest_hash(folder): folder for folder in [*installed, *(version.model for version in versions)]}

    @cache
    def find(wanted: str) -> Model | None:
        return load_model(folders[wanted]) if wanted in folders else None

    ancestors: list[Model] = []
    start = current.description.training.get("start")
    while isinstance(start, str) and (ancestor := find(start)) is not None and ancestor not in ancestors:
        ancestors.append(ancestor)
        start = ancestor.description.training.get("start")
    own = site.with_model(current.hash)
    return Lineage(current, [load_model(folder) for folder in own.folds] if own else [], ancestors, find)


def _manifest_hash(folder: Path) -> str:
    path = folder / MANIFEST_NAME
    return file_hash(path) if path.is_file() else ""
