"""Packed samples on disk, an LRU cache within a disk quota."""

from __future__ import annotations

import io
import logging
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from magpie_core.errors import ResourceError
from magpie_core.storage.atomic import write_bytes

_QUOTA = "quota_bytes.txt"
_log = logging.getLogger(__name__)


class SampleStore:
    """Arrays by key, one file each, read by memory mapping; beyond the quota the least recently used are evicted.

    Several processes may use one store. The time of a file's last change is that of its last use.

    Attributes:
        quota_bytes: Disk quota, kept in the store; None for no limit.

    Raises:
        ResourceError: If the file of the quota is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.quota_bytes: int | None = None
        try:
            self.quota_bytes = int((self.folder / _QUOTA).read_text(encoding="ascii"))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise ResourceError(
                "Cannot read the disk quota",
                cause=str(error),
                remedy="Delete the file and set --disk-gb again",
                source=str(self.folder / _QUOTA),
            ) from error

    def set_quota(self, quota_bytes: int | None) -> None:
        """Set the disk quota (None for no limit) for this and later users, and evict what is beyond it."""
        self.quota_bytes = quota_bytes
        if quota_bytes is None:
            (self.folder / _QUOTA).unlink(missing_ok=True)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / _QUOTA, str(quota_bytes).encode("ascii"))
        self._evict(0)

    def has(self, key: str) -> bool:
        """Return whether the array is there."""
        return self._path(key).is_file()

    def get(self, key: str) -> np.ndarray | None:
        """Return the array, memory-mapped and read-only; None if it is missing or damaged.

        Raises:
            ResourceError: If it cannot be read now, such as when too many files are open; it stays.
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
                "Cannot read a prepared study",
                cause=error.strerror or str(error),
                remedy="Check that its disk is connected and that you may read it, and start the same command again",
                source=str(path),
            ) from error
        with suppress(OSError):  # the store may be read-only
            os.utime(path)
        return array

    def put(self, key: str, array: np.ndarray) -> int:
        """Write an array atomically, evicting others if need be; return the bytes of its file.

        Raises:
            ResourceError: If it cannot be written, or is larger than the whole quota.
        """
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        payload = stream.getvalue()
        if self.quota_bytes is not None and len(payload) > self.quota_bytes:
            raise ResourceError(
                "The disk quota is smaller than a single study",
                cause=f"a study takes {len(payload) / 1e6:.1f} MB",
                remedy="Allow more with --disk-gb",
                source=str(self.folder),
            )
        self._evict(len(payload))
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, payload)
        return len(payload)

    def remove(self, key: str) -> bool:
        """Remove an array if it is there; return False, with a warning, where one in use stays (Windows)."""
        try:
            self._path(key).unlink(missing_ok=True)
        except PermissionError as error:
            _log.warning("Cannot delete a prepared study that is in use; delete it later: %s", error)
            return False
        return True

    def clear_scratch(self) -> None:
        """Remove files that a killed process left incomplete."""
        for path in self.folder.glob("**/.*.part"):
            path.unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of every array, by key, the least recently used first."""
        found = []
        for path in self.folder.glob("*/*.npy"):
            with suppress(FileNotFoundError):  # another process may evict it
                status = path.stat()
                found.append((status.st_mtime_ns, path.stem, status.st_size))
        return {key: size for _, key, size in sorted(found)}

    def _evict(self, needed_bytes: int) -> None:
        if self.quota_bytes is None:
            return
        sizes = self.sizes()
        total = sum(sizes.values()) + needed_bytes
        for key, size in sizes.items():
            if total <= self.quota_bytes:
                break
            if self.remove(key):
                total -= size

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npy"
