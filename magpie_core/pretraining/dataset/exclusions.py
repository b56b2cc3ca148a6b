"""Who and what must never enter a corpus: the subjects and images of evaluations, under whatever name."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.fingerprint import fingerprint
from magpie_core.imaging.perceptual_hash import perceptual_hash
from magpie_core.imaging.volume import Volume
from magpie_core.io.file_names import is_nifti
from magpie_core.io.nifti import read_channels
from magpie_core.pretraining.dataset.sources import list_studies, nifti_folders
from magpie_core.storage.atomic import write_bytes

_FILE = "exclusions.json"
_ALIKE = 0.98  # see `perceptual_hash`
_FEW_VALUES = 32  # a mask, whose perceptual_hash would resemble any brain's
_HASH = re.compile(r"(?:sha256:)?([0-9a-f]{64})(?:\s+\*?\S.*)?", re.IGNORECASE)


@dataclass
class Exclusions:
    """Names of subjects, hashes of files and of what images show, and thumbnails of images.

    Attributes
    ----------
    subjects
        In their plain form (`plain_subject`).
    images
        SHA-256 of files, and fingerprints of images.
    thumbnails
        Of the images, base64.
    read
        What is known of files that were read before: size, time of last change in ns, hashes, thumbnails.
    """

    subjects: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    thumbnails: set[str] = field(default_factory=set)
    read: dict[str, tuple[int, int, list[str], list[str]]] = field(default_factory=dict)

    @classmethod
    def of_corpus(cls, folder: Path) -> Exclusions:
        """What a corpus has excluded so far; nothing if there is no corpus yet.

        Raises
        ------
        InputError
            If the list is damaged.
        """
        path = folder / _FILE
        if not path.exists():
            return cls()
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            read = {
                str(key): (int(a), int(b), list(c), list(d)) for key, (a, b, c, d) in found["read"].items()
            }
            return cls(set(found["subjects"]), set(found["images"]), set(found["thumbnails"]), read)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                "The corpus's list of exclusions is damaged",
                cause=str(error),
                remedy="Remove it and prepare again with --exclude; nothing may be drawn without it",
                source=str(path),
            ) from error

    def save(self, folder: Path) -> None:
        """Keep it in the corpus, for good (ResourceError if it cannot be written)."""
        named = {name: sorted(getattr(self, name)) for name in ("subjects", "images", "thumbnails")}
        write_bytes(folder / _FILE, json.dumps({**named, "read": self.read}, indent=1).encode())

    def add(self, source: Path) -> None:
        """Exclude what a list names, or everything in a folder.

        A list is a text file: on each line the name of a subject, a file or folder (from the list's own place on), or
        a SHA-256 of a file (as `sha256sum` prints it); `#` begins a remark. Of files and folders, both the subjects and
        the images are excluded.

        Raises
        ------
        InputError
            If the list or something on it cannot be read: what cannot be compared cannot be kept out.
        """
        source = Path(source)
        if source.is_dir() or is_nifti(source):
            self._add_images(source)
            return
        try:
            lines = source.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                "The list of exclusions cannot be read", cause=str(error), source=str(source)
            ) from error
        for number, line in enumerate(lines, 1):
            text = line.split("#")[0].strip()
            found = _HASH.fullmatch(text)
            place = source.parent / text
            if not text:
                continue
            if found:
                self.images.add(found[1].lower())
            elif place.exists():
                self._add_images(place)
            elif "/" in text or "\\" in text or is_nifti(Path(text)):
                raise InputError(
                    f"Line {number} of the list of exclusions names a file that does not exist",
                    cause=text,
                    remedy="Correct it: what cannot be compared cannot be kept out",
                    source=str(source),
                )
            elif "," in text or "\t" in text or ";" in text:
                raise InputError(
                    f"Line {number} of the list of exclusions is a row of a table",
                    cause=text,
                    remedy="Give one subject, image or file a line: a name that never matches keeps nobody out",
                    source=str(source),
                )
            else:
                self.subjects.add(plain_subject(text))

    def subject(self, name: str) -> bool:
        """Whether a subject is excluded."""
        return plain_subject(name) in self.subjects

    def any_image(self, hashes: Iterable[str]) -> bool:
        """Whether any of the images is excluded."""
        return not self.images.isdisjoint(hashes)

    def likeness(self, volumes: Iterable[Volume]) -> float:
        """How alike the images are to excluded ones at most: a correlation of thumbnails, from 0.98 on, else 0."""
        if not self.thumbnails:
            return 0.0
        known = _standard(np.stack([np.frombuffer(base64.b64decode(t), np.uint8) for t in self.thumbnails]))
        ours = _standard(np.stack([perceptual_hash(volume).ravel() for volume in volumes]))
        most = float((ours @ known.T).max())
        return most if most >= _ALIKE else 0.0

    def _add_images(self, place: Path) -> None:
        files = [place] if place.is_file() else list(chain.from_iterable(nifti_folders(place)))
        if not files:
            raise InputError(
                "There is nothing to exclude",
                cause="the folder holds no NIfTI file",
                remedy="Give the folder with the images of the evaluation, or a list of subjects",
                source=str(place),
            )
        with suppress(InputError):  # no file has the name of a modality: the images alone tell
            self.subjects |= {plain_subject(study.subject) for study in list_studies([place]).studies}
        for path in files:
            status = path.stat()
            known = self.read.get(str(path.absolute()))
            if known is None or known[:2] != (status.st_size, status.st_mtime_ns):
                volumes = read_channels(path, repair=True, trust="sform")
                tiny = [
                    base64.b64encode(perceptual_hash(volume).tobytes()).decode()
                    for volume in volumes
                    if len(np.unique(volume.data)) > _FEW_VALUES
                ]
                known = (status.st_size, status.st_mtime_ns, image_hashes(path, volumes), tiny)
                self.read[str(path.absolute())] = known
            self.images.update(known[2])
            self.thumbnails.update(known[3])


def plain_subject(name: str) -> str:
    """A subject's name without what differs between spellings: case, spaces around it, BIDS's `sub-`."""
    return re.sub(r"^sub[-_]", "", name.strip().casefold())


def image_hashes(path: Path, volumes: list[Volume]) -> list[str]:
    """SHA-256 of a file, and the fingerprint of each image in it."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return [digest.hexdigest(), *map(fingerprint, volumes)]


def _standard(thumbnails: np.ndarray) -> np.ndarray:
    """Rows (N, V) with mean 0 and length 1, so that their products are correlations."""
    centerd = thumbnails.astype(np.float32) - thumbnails.mean(axis=1, keepdims=True, dtype=np.float32)
    unit: np.ndarray = centerd / np.maximum(np.linalg.norm(centerd, axis=1, keepdims=True), 1e-6)
    return unit
