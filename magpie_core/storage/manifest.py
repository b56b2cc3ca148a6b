"""The manifest of a model folder: SHA-256 of every file, written last and checked first."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from magpie_core.errors import ModelError, errors_about

MANIFEST_NAME = "manifest.json"
_AGAIN = (
    "Install the model again from its original source; if it is the version in use, roll back "
    "(magpie models rollback; panel: Roll back)"
)


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path) -> None:
    """Write the manifest of all files in `folder`."""
    hashes = {path.name: file_hash(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST_NAME}
    text = json.dumps({"format": 1, "sha256": hashes}, indent=2)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def verify_manifest(folder: Path, required: tuple[str, ...]) -> str:
    """Check every file of a model folder against its manifest.

    Returns:
        str: The model's hash: SHA-256 of the manifest itself.

    Raises:
        ModelError: If the folder or a file is missing, changed, or not listed.
    """
    path = folder / MANIFEST_NAME
    with errors_about(folder):
        if not folder.is_dir():
            raise ModelError("There is no such model folder", remedy="Check the path, or install the model first")
        if not path.is_file():
            cause = f"{MANIFEST_NAME} is missing"
            raise ModelError("This folder is not a complete model", cause=cause, remedy=_AGAIN)
        try:
            hashes = dict(json.loads(path.read_text(encoding="utf-8"))["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError("Cannot read the model's manifest", cause=str(error), remedy=_AGAIN) from error
        for name in sorted({*required, *hashes, *(file.name for file in folder.iterdir())} - {MANIFEST_NAME}):
            if cause := _fault(folder, name, hashes):
                raise ModelError("Cannot load the model: it does not match its manifest", cause=cause, remedy=_AGAIN)
    return file_hash(path)


def _fault(folder: Path, name: str, hashes: dict[str, str]) -> str:
    """Return what is wrong with a file of a model; empty if nothing is."""
    if Path(name).name != name:
        return f"the manifest names a file outside the folder, {name!r}"
    if not (folder / name).is_file():
        return f"{name} is missing"
    if name not in hashes:
        return f"{name} is not listed in the manifest"
    sound = file_hash(folder / name) == hashes[name]
    return "" if sound else f"{name} is damaged or was changed after the model was made"
