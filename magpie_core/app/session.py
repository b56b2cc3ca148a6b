"""What stays in memory from one use case to the next."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from magpie_core.models.registry import ModelCache
    from magpie_core.preprocessing.preparation_cache import PreparationCache


class Session:
    """The model used last, and the studies prepared last: a second look at a study prepares nothing."""

    @cached_property
    def models(self) -> ModelCache:
        """The model used last."""
        from magpie_core.models.registry import ModelCache

        return ModelCache()

    @cached_property
    def preparations(self) -> PreparationCache:
        """The studies prepared last."""
        from magpie_core.preprocessing.preparation_cache import PreparationCache

        return PreparationCache()
