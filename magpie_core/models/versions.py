"""A site's versions of the model: add, promote, roll back."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magpie_core.errors import ModelError
from magpie_core.models.description import CARD_NAME, DESCRIPTION_NAME, WEIGHTS_NAME
from magpie_core.storage.atomic import staged_folder, write_bytes, write_errors
from magpie_core.storage.audit_log import AuditLog
from magpie_core.storage.folder_lock import locked_folder
from magpie_core.storage.manifest import verify_manifest, write_manifest

_MODEL_FILES = (DESCRIPTION_NAME, WEIGHTS_NAME, CARD_NAME)
_RECORD = "record.json"


@dataclass(frozen=True)
class Version:
    """A version of the model; its folders never change.

    Attributes:
        name: Letters, digits, dots and dashes.
        model: Model folder.
        evidence: Folder of `record.json` and other evidence: out-of-fold predictions, digests of the training cases,
            the report of the acceptance test.
    """

    name: str
    model: Path
    evidence: Path

    def record(self) -> dict[str, Any]:
        """Return the plain values stored with the version; ModelError if the evidence was changed."""
        verify_manifest(self.evidence, (_RECORD,))
        values: dict[str, Any] = json.loads((self.evidence / _RECORD).read_text(encoding="utf-8"))
        return values


class VersionStore:
    """Versions in a folder: `versions/<name>/{model,evidence}`, `active.json`, and an audit log.

    Versions are added atomically, and the active one is recorded in one small file that is replaced atomically, so that
    a crash leaves the old or the new state. The folder is made when the first version is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.log = AuditLog(self.folder / "log.jsonl")

    def versions(self) -> list[Version]:
        """Return all versions, oldest first."""
        parent = self.folder / "versions"
        if not parent.is_dir():
            return []
        folders = [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]
        ordered = sorted(folders, key=lambda path: (path.stat().st_mtime_ns, path.name))
        return [self._version(path.name) for path in ordered]

    def version(self, name: str) -> Version:
        """Return the version of that name, else ModelError."""
        versions = {version.name: version for version in self.versions()}
        if name not in versions:
            known = ", ".join(versions) or "none"
            raise ModelError(f"There is no version {name!r}", cause=f"there are: {known}", source=str(self.folder))
        return versions[name]

    @property
    def active(self) -> Version | None:
        """Active version; None for the model shipped with MAGPIE."""
        name = self._pointer()["active"]
        return None if name is None else self.version(name)

    def add(
        self, name: str, model: Path, record: Mapping[str, Any], *, evidence: Path | None = None, user: str = ""
    ) -> Version:
        """Add a copy of a model folder as a new version, not yet active.

        Args:
            record: Plain values to store with it.
            evidence: Folder whose files are copied beside the record.

        Raises:
            ModelError: If the model does not verify, or the name exists or is invalid.
            ResourceError: If it cannot be written; then nothing is added.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}", name):
            raise ModelError(f"Invalid name of a version: {name!r}", remedy="Use letters, digits, dots and dashes")
        verify_manifest(model, _MODEL_FILES)
        with self._locked():
            target = self.folder / "versions" / name
            if target.exists():
                raise ModelError(
                    f"Version {name} exists already", remedy="Choose another name: a version never changes"
                )
            with staged_folder(target, ours=(), last="") as scratch:
                shutil.copytree(model, scratch / "model")
                if evidence is None:
                    (scratch / "evidence").mkdir()
                else:
                    shutil.copytree(evidence, scratch / "evidence")
                text = json.dumps(dict(record), indent=2, sort_keys=True) + "\n"
                (scratch / "evidence" / _RECORD).write_text(text, encoding="utf-8")
                write_manifest(scratch / "evidence")
                digest = verify_manifest(scratch / "model", _MODEL_FILES)
                scratch.chmod(0o755)
            self.log.append("add", user=user, version=name, model=digest)
        return self._version(name)

    def promote(self, name: str, *, user: str = "", reason: str) -> Version:
        """Make a version the active one; an unreadable record of the active version is replaced.

        Raises:
            ModelError: If there is no such version, it does not verify, or no reason is given.
        """
        if not reason.strip():
            raise ModelError("Cannot promote a version without a reason", remedy="Give a reason for the log")
        with self._locked():
            version = self.version(name)
            verify_manifest(version.model, _MODEL_FILES)
            try:
                pointer = self._pointer()
            except ModelError:
                pointer = {"active": None, "before": []}
            self._point(name, [*pointer["before"], pointer["active"]])
            self.log.append("promote", user=user, version=name, reason=reason)
        return version

    def rollback(self, *, user: str = "", reason: str = "rollback") -> Version | None:
        """Make the previous version active again; None for the model shipped with MAGPIE.

        Raises:
            ModelError: If nothing was promoted, or the previous version does not verify.
        """
        with self._locked():
            pointer = self._pointer()
            if not pointer["before"]:
                raise ModelError("Cannot roll back", cause="no version was promoted")
            *before, name = pointer["before"]
            version = None if name is None else self.version(name)
            if version is not None:
                verify_manifest(version.model, _MODEL_FILES)
            self._point(name, before)
            self.log.append("rollback", user=user, version=name, reason=reason)
        return version

    def _version(self, name: str) -> Version:
        folder = self.folder / "versions" / name
        return Version(name, folder / "model", folder / "evidence")

    def _pointer(self) -> dict[str, Any]:
        path = self.folder / "active.json"
        if not path.exists():
            return {"active": None, "before": []}
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return {"active": values["active"], "before": list(values["before"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                "Cannot read which version is active",
                cause=str(error),
                remedy="Delete this file to use the model shipped with MAGPIE, or promote a version again "
                "(magpie models promote); log.jsonl records which one it was",
                source=str(path),
            ) from error

    def _point(self, name: str | None, before: list[str | None]) -> None:
        values = json.dumps({"active": name, "before": before}, indent=2) + "\n"
        write_bytes(self.folder / "active.json", values.encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        busy = "Cannot change the versions: another process is changing them"
        with locked_folder(self.folder, busy, timeout_s=600), write_errors(self.folder, "Cannot write the versions"):
            yield
