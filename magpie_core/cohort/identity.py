"""Who a patient is: one spelling of an identity, one salt for a site, and names that stay at the site."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress

from magpie_core.errors import InputError
from magpie_core.storage.atomic import write_bytes
from magpie_core.storage.folder_lock import locked_folder
from magpie_core.storage.site import site_folder

_SALT, _NAMES = "salt", "patients.json"
_HASH = re.compile(r"(?=.*[a-f])(?=.*\d)[0-9a-f]{12}")
_LONGEST_NUMBER = 12  # digits, zeros before it included


def normalize_patient(identity: str) -> str:
    """Return one spelling for all ways to type an identity: of letters, spaces, case, and zeros before a number."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", identity).casefold())
    # A format character, such as a mark of direction, cannot be seen.
    text = " ".join("".join(letter for letter in text if unicodedata.category(letter) != "Cf").split())
    text = re.sub(r"\s*([\^,/_-])\s*", r"\1", text).strip("^")
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)


def hash_patient(identity: str, salt: bytes) -> str:
    """Return 12 hexadecimal digits of a salted hash of an identity, as it is."""
    return hashlib.sha256(salt + identity.encode()).hexdigest()[:12]


def is_hash(identity: str) -> bool:
    """Whether an identity is the hash of one, as the cases of a cohort that was exported or copied are named."""
    return _HASH.fullmatch(identity) is not None


def spellings_of_0_5(identity: str) -> Iterator[str]:
    """Yield what version 0.5, which hashed an identity as it was typed, may have been given; likely ones first."""
    normalized = normalize_patient(identity)
    for text in (identity.strip(), normalized):
        for letters in (text, text.upper(), text.lower(), text.title()):
            yield from (unicodedata.normalize(form, letters) for form in ("NFC", "NFD"))
    if normalized.isdigit():
        yield from (normalized.zfill(digits) for digits in range(len(normalized) + 1, _LONGEST_NUMBER + 1))


def site_salt() -> bytes:
    """Return the salt of this site, which every cohort made here has; it is made at first use.

    Raises:
        InputError: If the file was damaged: with another salt, patients would be other ones.
        ResourceError: If it cannot be kept in the site's folder.
    """
    path = site_folder() / _SALT
    with _locked_site():
        if not path.exists():
            write_bytes(path, secrets.token_hex(16).encode())
            path.chmod(0o600)
        try:
            return bytes.fromhex(path.read_text(encoding="ascii"))
        except ValueError as error:
            raise InputError(
                "Cannot read the salt that patients are hashed with",
                cause="the file was damaged",
                remedy="Restore it from a backup, or from MagpieCohort in a cohort's dataset_description.json; or "
                "delete it, and patients of new cohorts are not recognized in those made before",
                source=str(path),
            ) from error


def remember_name(case: str, name: str) -> None:
    """Keep how the site calls a case, in the site's folder alone: no cohort, version or export holds it.

    A damaged file is moved aside, and a new one begun.
    """
    path = site_folder() / _NAMES
    with _locked_site():
        names = local_names()
        if path.exists() and not names:
            path.replace(path.with_suffix(".damaged"))
        write_bytes(path, (json.dumps({**names, case: name}, indent=1, ensure_ascii=False) + "\n").encode())
        path.chmod(0o600)


def local_names() -> dict[str, str]:
    """Return how the site calls its cases, by the case's name in the cohort; {} if nothing is kept."""
    path = site_folder() / _NAMES
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(case): str(name) for case, name in found.items()} if isinstance(found, dict) else {}
    return {}


def _locked_site() -> AbstractContextManager[None]:
    return locked_folder(site_folder(), "Another process is using the site's folder", timeout_s=60)
