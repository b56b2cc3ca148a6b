"""Packed studies on disk, within an allowance: what was not used for longest makes room."""

from __future__ import annotations

import io
import logging
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from magpie_core.errors import ResourceError
from magpie_core.storage.atomic import write_bytes

_ALLOWANCE = "allowance_bytes.txt"
_log = logging.getLogger(__name__)


class SampleStore:
    """Arrays by key, one file each, read by memory mapping.

    Several processes may use one store. The time of a file's last change is that of its last use.

    Parameters
    ----------
    folder
        Where they lie; made with the first array.

    Attributes
    ----------
    limit_bytes
        Allowance on disk, kept in the store; None for no limit.

    Raises
    ------
    ResourceError
        If the note of the allowance is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.limit_bytes: int | None = None
        try:
            self.limit_bytes = int((self.folder / _ALLOWANCE).read_text(encoding="ascii"))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise ResourceError(
                "The allowance on disk cannot be read",
                cause=str(error),
                remedy="Remove the file and give --disk-gb again",
                source=str(self.folder / _ALLOWANCE),
            ) from error

    def allow(self, limit_bytes: int | None) -> None:
        """Set the allowance (None for no limit) for this and later users, and make room at once."""
        self.limit_bytes = limit_bytes
        if limit_bytes is None:
            (self.folder / _ALLOWANCE).unlink(missing_ok=True)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / _ALLOWANCE, str(limit_bytes).encode("ascii"))
        self._make_room(0)

    def has(self, key: str) -> bool:
        """Whether the array is there."""
        return self._path(key).is_file()

    def get(self, key: str) -> np.ndarray | None:
        """The array, mapped and read-only; None if it is not there or damaged.

        Raises
        ------
        ResourceError
            If it cannot be read now, such as when too many files are open; it stays.
        """
        path = self._path(key)
        try:
            array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            return None
        except (ValueError, EOFError):
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        except OSError as error:
            raise ResourceError(
                "A prepared study cannot be read",
                cause=error.strerror or str(error),
                remedy="Check that its disk is connected and that you may read it, and start the same command again",
                source=str(path),
            ) from error
        with suppress(OSError):  # a store that may only be read serves as well
            os.utime(path)
        return array

    def put(self, key: str, array: np.ndarray) -> int:
        """Write an array, whole or not at all, and make room; returns the bytes of its file.

        Raises
        ------
        ResourceError
            If it cannot be written, or is larger than the whole allowance.
        """
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        payload = stream.getvalue()
        if self.limit_bytes is not None and len(payload) > self.limit_bytes:
            raise ResourceError(
                "The allowance on disk is smaller than a single study",
                cause=f"a study takes {len(payload) / 1e6:.1f} MB",
                remedy="Allow more with --disk-gb",
                source=str(self.folder),
            )
        self._make_room(len(payload))
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, payload)
        return len(payload)

    def drop(self, key: str) -> bool:
        """Remove an array if it is there; False, with a warning, where one in use stays (Windows)."""
        try:
            self._path(key).unlink(missing_ok=True)
        except PermissionError as error:
            _log.warning(
                "A prepared study is in use and stays; delete it when nothing draws from it: %s", error
            )
            return False
        return True

    def clear_scratch(self) -> None:
        """Remove what a killed process left half written."""
        for path in self.folder.glob("**/.*.part"):
            path.unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        """Bytes of every array, by key, the one used longest ago first."""
        found = []
        for path in self.folder.glob("*/*.npy"):
            with suppress(FileNotFoundError):  # another process may make room
                status = path.stat()
                found.append((status.st_mtime_ns, path.stem, status.st_size))
        return {key: size for _, key, size in sorted(found)}

    def _make_room(self, needed_bytes: int) -> None:
        if self.limit_bytes is None:
            return
        sizes = self.sizes()
        total = sum(sizes.values()) + needed_bytes
        for key, size in sizes.items():
            if total <= self.limit_bytes:
                break
            if self.drop(key):
                total -= size

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npy"
