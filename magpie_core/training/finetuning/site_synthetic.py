"""Synthetic studies of a site: made once for all its fine-tunings, and bounded on disk."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from magpie_core import __version__
from magpie_core.storage.site import site_folder
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.training.finetuning.options import FinetuneOptions
from magpie_core.training.fixed_synthetic_set import FixedSyntheticSet

_MOST_BYTES = 2e9  # of all sets together; the set in use stays, however large


def site_synthetic_set(
    options: FinetuneOptions, *, spacing_mm: float, anatomy: Path | None, log: Path
) -> FixedSyntheticSet:
    """Return the site's set of synthetic studies for the options, and remove sets that have not been used for long.

    Raises:
        ResourceError: If there are no label maps.
    """
    maps = [(path.name, path.stat().st_size) for path in Anatomy.find(anatomy).maps]
    digest = hashlib.sha256(repr((__version__, maps)).encode()).hexdigest()[:12]
    parent = site_folder() / "synthetic"
    folder = parent / digest
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        _remove_old(parent, folder)
    return FixedSyntheticSet(
        folder, options.synthetic_studies, spacing_mm=spacing_mm, anatomy=anatomy, seed=options.seed, log=log
    )


def _remove_old(parent: Path, kept: Path) -> None:
    left = _MOST_BYTES
    for folder in sorted(parent.iterdir(), key=lambda path: -path.stat().st_mtime):
        left -= sum(path.stat().st_size for path in folder.iterdir())
        if left < 0 and folder != kept:
            shutil.rmtree(folder, ignore_errors=True)
