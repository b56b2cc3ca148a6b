"""The files of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from magpie_core.errors import read_errors


def list_files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and those below it in order, hidden ones left out; links are followed once.

    Raises:
        InputError: If the folder cannot be read.
    """
    with read_errors(folder, "Cannot read the folder"):
        if not folder.is_dir():
            yield folder
            return
        os.listdir(folder)  # os.walk says nothing of a folder that cannot be listed
        visited = set()
        for parent, folders, names in os.walk(folder, followlinks=True):
            place = os.path.realpath(parent)
            if place in visited:
                folders.clear()
                continue
            visited.add(place)
            folders.sort()
            yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))
