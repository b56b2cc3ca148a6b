"""A site's own versions of the model, which of them is used, and the way back."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from magpie_core.errors import ModelError, ResourceError
from magpie_core.models.description import CARD_NAME, DESCRIPTION_NAME, WEIGHTS_NAME
from magpie_core.storage.atomic import write_bytes
from magpie_core.storage.audit_log import AuditLog
from magpie_core.storage.manifest import verify_manifest, write_manifest

_MODEL_FILES = (DESCRIPTION_NAME, WEIGHTS_NAME, CARD_NAME)
_RECORD = "record.json"


@dataclass(frozen=True)
class Version:
    """One version; its folders never change.

    Attributes
    ----------
    name
        Letters, digits, dots and dashes.
    model
        The model folder.
    evidence
        `record.json` and what else belongs to it: out-of-fold predictions, digests of the training cases, the
        gate's report.
    """

    name: str
    model: Path
    evidence: Path

    def record(self) -> dict[str, Any]:
        """Plain values kept with the version.

        Raises
        ------
        ModelError
            If a byte of the evidence was changed.
        """
        verify_manifest(self.evidence, (_RECORD,))
        values: dict[str, Any] = json.loads((self.evidence / _RECORD).read_text(encoding="utf-8"))
        return values


class VersionStore:
    """Versions in a folder: `versions/<name>/{model,evidence}`, `active.json`, and a sealed log.

    A version is complete under its name or not there. Which one is used is one small file that is replaced as a whole,
    so that a computer that stops at any moment leaves the old or the new choice.

    Parameters
    ----------
    folder
        Made when the first version is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.log = AuditLog(self.folder / "log.jsonl")

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        parent = self.folder / "versions"
        if not parent.is_dir():
            return []
        folders = [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]
        ordered = sorted(folders, key=lambda path: (path.stat().st_mtime_ns, path.name))
        return [self._version(path.name) for path in ordered]

    def version(self, name: str) -> Version:
        """The version of that name.

        Raises
        ------
        ModelError
            If there is none.
        """
        for version in self.versions():
            if version.name == name:
                return version
        known = ", ".join(version.name for version in self.versions()) or "none"
        raise ModelError(
            f"There is no version {name!r}", cause=f"there are: {known}", source=str(self.folder)
        )

    @property
    def active(self) -> Version | None:
        """The version in use; None if that is the model that came with MAGPIE."""
        name = self._pointer()["active"]
        return None if name is None else self.version(name)

    def add(
        self,
        name: str,
        model: Path,
        record: Mapping[str, Any],
        *,
        evidence: Path | None = None,
        who: str = "",
    ) -> Version:
        """Take a model over as a new version, not yet in use.

        Parameters
        ----------
        model
            A model folder; it is copied.
        record
            Plain values to keep with it.
        evidence
            Folder whose files are kept beside the record.

        Raises
        ------
        ModelError
            If the model does not verify, or the name is taken or not allowed.
        ResourceError
            If it cannot be written; then nothing was added.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}", name):
            raise ModelError(
                f"A version cannot be called {name!r}", remedy="Use letters, digits, dots and dashes"
            )
        verify_manifest(model, _MODEL_FILES)
        with self._locked():
            target = self.folder / "versions" / name
            if target.exists():
                raise ModelError(
                    f"There is a version {name} already", remedy="A version never changes: use another name"
                )
            target.parent.mkdir(exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=".adding-", dir=target.parent))
            try:
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
                os.replace(scratch, target)
                self.log.append("add", who=who, version=name, model=digest)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return self._version(name)

    def promote(self, name: str, *, who: str = "", reason: str) -> Version:
        """Use a version from now on; a record of the one in use that cannot be read is replaced.

        Raises
        ------
        ModelError
            If there is no such version, or it does not verify, or no reason is given.
        """
        if not reason.strip():
            raise ModelError("A version is promoted for a reason", remedy="Say why")
        with self._locked():
            version = self.version(name)
            verify_manifest(version.model, _MODEL_FILES)
            try:
                pointer = self._pointer()
            except ModelError:
                pointer = {"active": None, "before": []}
            self._point(name, [*pointer["before"], pointer["active"]])
            self.log.append("promote", who=who, version=name, reason=reason)
        return version

    def rollback(self, *, who: str = "", reason: str = "rollback") -> Version | None:
        """Use again what was used before the last promotion; None if that is the model that came with MAGPIE.

        Raises
        ------
        ModelError
            If nothing was promoted, or the earlier version does not verify.
        """
        with self._locked():
            pointer = self._pointer()
            if not pointer["before"]:
                raise ModelError("There is nothing to go back to", cause="no version was promoted")
            *before, name = pointer["before"]
            version = None if name is None else self.version(name)
            if version is not None:
                verify_manifest(version.model, _MODEL_FILES)
            self._point(name, before)
            self.log.append("rollback", who=who, version=name, reason=reason)
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
                "It cannot be told which version is in use",
                cause=str(error),
                remedy="Delete this file to use the model that came with MAGPIE, or promote a version again "
                "(magpie models promote); log.jsonl says which one it was",
                source=str(path),
            ) from error

    def _point(self, name: str | None, before: list[str | None]) -> None:
        values = json.dumps({"active": name, "before": before}, indent=2) + "\n"
        write_bytes(self.folder / "active.json", values.encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=600):
                yield
        except OSError as error:
            raise ResourceError(
                "The versions cannot be changed",
                cause=error.strerror or str(error),
                remedy="Check that you may write to their folder and that the disk has room",
                source=str(self.folder),
            ) from error
