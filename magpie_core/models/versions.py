"""A site's versions of the model: add, promote, roll back."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from magpie_core.errors import InputError, ModelError
from magpie_core.models.description import CARD_NAME, DESCRIPTION_NAME, WEIGHTS_NAME
from magpie_core.storage.atomic import staged_folder, write_bytes, write_errors
from magpie_core.storage.audit_log import AuditLog
from magpie_core.storage.folder_lock import locked_folder
from magpie_core.storage.manifest import MANIFEST_NAME, file_hash, verify_manifest, write_manifest

_MODEL_FILES = (DESCRIPTION_NAME, WEIGHTS_NAME, CARD_NAME)
_RECORD = "record.json"
_NAME = re.compile(r"(?!(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$))[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?", re.IGNORECASE)
_WAY_BACK = (
    "Restore its folder from a backup, use the version before it (magpie models rollback; panel: Roll back), or the "
    "default model (magpie models use-default; Training module: choose it under Models and press Use)"
)


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

    @property
    def folds(self) -> list[Path]:
        """Model folders of its folds, each of which never saw one fold's cases; empty if none are kept."""
        return sorted(path for path in self.model.parent.glob("folds/*") if path.is_dir())

    def record(self) -> dict[str, Any]:
        """Return the plain values stored with the version; ModelError if the evidence was changed."""
        verify_manifest(self.evidence, (_RECORD,))
        values: dict[str, Any] = json.loads((self.evidence / _RECORD).read_text(encoding="utf-8"))
        return values

    def summary(self) -> str:
        """Return date, start, cases, Dice and verdict in a line; ModelError if the evidence was changed."""
        record = self.record()
        found = record.get("summary", {})
        if not found:
            known = {True: "accepted", False: "not accepted", None: ""}[record.get("accepted")]
            return ", ".join(text for text in (known, *record.get("verdict", [])[:1]) if text)
        return f"{found['date'][:10]}, from {found['start']}, {found['cases']} cases: {found['verdict']}"


class VersionStore:
    """Versions in a folder: `versions/<name>/{model,evidence}`, `active.json`, and an audit log.

    Versions are added atomically, and the active one is recorded in one small file that is replaced atomically, so that
    a crash leaves the old or the new state; what it left unlogged is logged by the next change. The folder is made when
    the first version is added.

    Args:
        reserved: Returns the names of the installed models, which no version may have.
    """

    def __init__(self, folder: Path, *, reserved: Callable[[], Sequence[str]] = tuple) -> None:
        self.folder = Path(folder)
        self.log = AuditLog(self.folder / "log.jsonl")
        self._reserved = reserved

    def versions(self) -> list[Version]:
        """Return all versions in the order in which they were added."""
        parent = self.folder / "versions"
        if not parent.is_dir():
            return []
        folders = [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]
        logged: dict[str, int] = {}
        with suppress(InputError):  # the log was changed: the times of the folders decide
            logged = {entry.details["version"]: entry.number for entry in self.log.entries() if entry.event == "add"}
        last = max(logged.values(), default=0) + 1
        ordered = sorted(folders, key=lambda path: (logged.get(path.name, last), path.stat().st_mtime_ns, path.name))
        return [self._version(path.name) for path in ordered]

    def version(self, name: str) -> Version:
        """Return the version of that name, else ModelError."""
        versions = {version.name: version for version in self.versions()}
        if name not in versions:
            raise ModelError(
                f"There is no version {name!r}",
                cause=f"there are: {', '.join(versions) or 'none'}",
                remedy="Choose one of these, or install it again (magpie models install)",
                source=str(self.folder),
            )
        return versions[name]

    def with_model(self, model_hash: str) -> Version | None:
        """Return the version that has the model of this hash, one that keeps its folds first; None if there is none."""
        manifests = {version: version.model / MANIFEST_NAME for version in self.versions()}
        found = [one for one, path in manifests.items() if path.is_file() and file_hash(path) == model_hash]
        return next((version for version in found if version.folds), next(iter(found), None))

    @property
    def active_name(self) -> str | None:
        """Name of the version in use, also if its folder is gone; None for the default model."""
        name: str | None = self._pointer()["active"]
        return name

    @property
    def active(self) -> Version | None:
        """Active version; None for the default model.

        Raises:
            ModelError: If its folder is gone, or which one it is cannot be read; the remedy says how to go back.
        """
        name = self.active_name
        version = None if name is None else self._version(name)
        if version is not None and not version.model.is_dir():
            raise ModelError(
                f"The version in use, {name}, is missing",
                cause="its folder was removed or renamed",
                remedy=_WAY_BACK,
                source=str(version.model.parent),
            )
        return version

    @property
    def can_roll_back(self) -> bool:
        """Whether another version, or the default model, was in use before."""
        return bool(self._pointer()["before"])

    def shadowed(self) -> list[str]:
        """Return the names of versions that an installed model has too: by name, that one is meant."""
        reserved = {name.casefold() for name in self._reserved()}
        return [version.name for version in self.versions() if version.name.casefold() in reserved]

    def free_name(self) -> str:
        """Return the next "site-N" that no version has or had."""
        names = {version.name for version in self.versions()}
        with suppress(InputError):  # the log was changed: what lies in the folder decides
            names |= {entry.details["version"] for entry in self.log.entries() if entry.event == "add"}
        taken = {name.casefold() for name in (*names, *self._reserved())}
        return next(name for number in count(1) if (name := f"site-{number}") not in taken)

    def check_name(self, name: str) -> None:
        """Raise ModelError if a new version cannot have this name: it is invalid, or a version or model has it."""
        if not _NAME.fullmatch(name):
            raise ModelError(
                f"Invalid name of a version: {name!r}",
                remedy="Use up to 64 letters (A to Z), digits, dots and dashes; the first and last a letter or digit",
            )
        if name.casefold() in [version.name.casefold() for version in self.versions()]:
            raise ModelError(f"Version {name} exists already", remedy="Choose another name: a version never changes")
        if name.casefold() in [taken.casefold() for taken in self._reserved()]:
            raise ModelError(
                f"A version cannot be called {name}",
                cause="an installed model has this name",
                remedy="Choose another name",
            )

    def add(
        self,
        name: str,
        model: Path,
        record: Mapping[str, Any],
        *,
        evidence: Path | None = None,
        folds: Sequence[Path] = (),
        user: str = "",
    ) -> Version:
        """Add a copy of a model folder as a new version, not yet active.

        Args:
            record: Plain values to store with it.
            evidence: Folder whose files are copied beside the record.
            folds: Model folders of its folds, which judge the next fine-tuning.

        Raises:
            ModelError: If the model does not verify, or `check_name` refuses the name.
            ResourceError: If it cannot be written; then nothing is added.
        """
        self.check_name(name)
        verify_manifest(model, _MODEL_FILES)
        with self._locked():
            self.check_name(name)
            with staged_folder(self.folder / "versions" / name, ours=(), last="") as scratch:
                shutil.copytree(model, scratch / "model")
                for number, fold in enumerate(folds):
                    shutil.copytree(fold, scratch / "folds" / f"{number:02d}")
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
        with self._locked():
            version = self.version(name)
            verify_manifest(version.model, _MODEL_FILES)
            self._switch(name, user, reason)
        return version

    def use_default(self, *, user: str = "", reason: str) -> None:
        """Use the default model from now on, whatever state the versions are in (ModelError without a reason)."""
        with self._locked():
            self._switch(None, user, reason)

    def rollback(self, *, user: str = "", reason: str = "rollback") -> Version | None:
        """Make the version active that was so before the active one; None for the default model.

        Raises:
            ModelError: If nothing was promoted, or the previous version is gone or does not verify.
        """
        with self._locked():
            pointer = self._pointer()
            if not pointer["before"]:
                raise ModelError(
                    "Cannot roll back",
                    cause="no version was in use before"
                    + ("" if pointer["active"] is None else f" {pointer['active']}"),
                    remedy="Choose a version, or the default model (magpie models list, promote, use-default)",
                )
            *before, name = pointer["before"]
            version = None if name is None else self._version(name)
            if version is not None:
                try:
                    verify_manifest(version.model, _MODEL_FILES)
                except ModelError as error:
                    raise ModelError(
                        f"Cannot roll back to {name}, which was in use before",
                        cause=f"{error.what.lower()}: {error.cause}" if error.cause else "its folder is gone",
                        remedy=_WAY_BACK.replace(
                            "the version before it (magpie models rollback; panel: Roll back)",
                            "another version (magpie models promote)",
                        ),
                        source=str(version.model.parent),
                    ) from error
            self._point(name, before)
            self.log.append("rollback", user=user, version=name, reason=reason)
        return version

    def _switch(self, name: str | None, user: str, reason: str) -> None:
        if not reason.strip():
            raise ModelError("Cannot promote a version without a reason", remedy="Give a reason for the log")
        try:
            pointer = self._pointer()
        except ModelError:
            pointer = {"active": None, "before": []}
        if pointer["active"] != name:  # else a rollback would change nothing
            self._point(name, [*pointer["before"], pointer["active"]])
        elif name is None:
            self._point(name, pointer["before"])  # a record that cannot be read
        self.log.append("promote", user=user, version=name, reason=reason)

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
                remedy="Choose one again: magpie models promote, or magpie models use-default (Training module: choose "
                "it under Models and press Use); log.jsonl records which one it was",
                source=str(path),
            ) from error

    def _point(self, name: str | None, before: list[str | None]) -> None:
        values = json.dumps({"active": name, "before": before}, indent=2) + "\n"
        write_bytes(self.folder / "active.json", values.encode())

    def _recover(self) -> None:
        """Log what a killed process did without logging it, and remove the scratch files that it left."""
        for scratch in (*self.folder.glob(".*.part"), *self.folder.glob("versions/.magpie-*")):
            shutil.rmtree(scratch, ignore_errors=True) if scratch.is_dir() else scratch.unlink(missing_ok=True)
        try:
            entries = self.log.entries()
        except InputError:
            return  # it was changed by something else, and says so where it is read
        added = {entry.details["version"] for entry in entries if entry.event == "add"}
        for version in self.versions():
            if version.name not in added:
                with suppress(ModelError):
                    self.log.append(
                        "add", user="", version=version.name, model=verify_manifest(version.model, _MODEL_FILES)
                    )
        switches = [entry.details["version"] for entry in entries if entry.event in ("promote", "rollback")]
        with suppress(ModelError):
            if (name := self.active_name) != (switches[-1] if switches else None):
                self.log.append("promote", user="", version=name, reason="found in use, not logged")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        busy = "Cannot change the versions: another process is changing them"
        with locked_folder(self.folder, busy, timeout_s=600), write_errors(self.folder, "Cannot write the versions"):
            self._recover()
            yield
