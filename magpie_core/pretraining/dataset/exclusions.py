"""What must never enter a pretraining dataset: the subjects and images of evaluations, under any name."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.background import fingerprint, perceptual_hash, similarities
from magpie_core.imaging.volume import Volume
from magpie_core.io.file_names import is_nifti
from magpie_core.io.nifti import read_channels
from magpie_core.pretraining.dataset.sources import list_studies, nifti_folders
from magpie_core.storage.atomic import write_bytes
from magpie_core.storage.manifest import file_hash

_FILE = "exclusions.json"
_LEAST_SIMILARITY = 0.98  # see `perceptual_hash`
_FEW_VALUES = 32  # a mask, whose perceptual hash would be similar to that of any brain
_HASH = re.compile(r"(?:sha256:)?([0-9a-f]{64})(?:\s+\*?\S.*)?", re.IGNORECASE)


@dataclass
class Exclusions:
    """Names of subjects, hashes of files and of image contents, and perceptual hashes of images.

    Attributes:
        subjects: In their normalized form (`normalized_subject`).
        images: SHA-256 of files, and fingerprints of images.
        perceptual_hashes: Of the images, base64.
        files: Files that were read before: size in bytes, time of last change in ns, hashes, perceptual hashes.
    """

    subjects: set[str] = field(default_factory=set)
    images: set[str] = field(default_factory=set)
    perceptual_hashes: set[str] = field(default_factory=set)
    files: dict[str, tuple[int, int, list[str], list[str]]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Exclusions:
        """Read the exclusions of a dataset; none if there is no dataset yet (InputError if the list is damaged)."""
        path = folder / _FILE
        if not path.exists():
            return cls()
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            files = {str(key): (int(a), int(b), list(c), list(d)) for key, (a, b, c, d) in found["files"].items()}
            return cls(set(found["subjects"]), set(found["images"]), set(found["perceptual_hashes"]), files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                "The dataset's list of exclusions is damaged",
                cause=str(error),
                remedy="Delete it and prepare again with --exclude; the dataset cannot be used without it",
                source=str(path),
            ) from error

    def save(self, folder: Path) -> None:
        """Write the exclusions into the dataset (ResourceError if that is impossible)."""
        named = {name: sorted(getattr(self, name)) for name in ("subjects", "images", "perceptual_hashes")}
        write_bytes(folder / _FILE, json.dumps({**named, "files": self.files}, indent=1).encode())

    def add(self, source: Path) -> None:
        """Exclude what a list names, or everything in a folder.

        A list is a text file: on each line the name of a subject, a file or folder (relative to the list), or a SHA-256
        of a file (as `sha256sum` prints it); `#` starts a comment. Of files and folders, both the subjects and the
        images are excluded.

        Raises:
            InputError: If the list or something on it cannot be read: what cannot be compared cannot be excluded.
        """
        source = Path(source)
        if source.is_dir() or is_nifti(source):
            self._add_images(source)
            return
        try:
            lines = source.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError("Cannot read the list of exclusions", cause=str(error), source=str(source)) from error
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
                    remedy="Correct it: what cannot be compared cannot be excluded",
                    source=str(source),
                )
            elif "," in text or "\t" in text or ";" in text:
                raise InputError(
                    f"Line {number} of the list of exclusions is a row of a table",
                    cause=text,
                    remedy="Give one subject, image or file per line",
                    source=str(source),
                )
            else:
                self.subjects.add(normalized_subject(text))

    def has_subject(self, name: str) -> bool:
        """Return whether a subject is excluded."""
        return normalized_subject(name) in self.subjects

    def has_any_image(self, hashes: Iterable[str]) -> bool:
        """Return whether any of the images is excluded."""
        return not self.images.isdisjoint(hashes)

    def similarity(self, volumes: Iterable[Volume]) -> float:
        """Return the greatest similarity to an excluded image, a correlation of perceptual hashes; 0 below 0.98."""
        if not self.perceptual_hashes:
            return 0.0
        known = np.stack([np.frombuffer(base64.b64decode(t), np.uint8) for t in self.perceptual_hashes])
        ours = np.stack([perceptual_hash(volume).ravel() for volume in volumes])
        greatest = float(similarities(ours, known).max())
        return greatest if greatest >= _LEAST_SIMILARITY else 0.0

    def _add_images(self, place: Path) -> None:
        files = [place] if place.is_file() else list(chain.from_iterable(nifti_folders(place)))
        if not files:
            raise InputError(
                "There is nothing to exclude",
                cause="the folder holds no NIfTI file",
                remedy="Give the folder with the images of the evaluation, or a list of subjects",
                source=str(place),
            )
        with suppress(InputError):  # no file has the name of a modality: the images alone are excluded
            self.subjects |= {normalized_subject(study.subject) for study in list_studies([place]).studies}
        for path in files:
            status = path.stat()
            known = self.files.get(str(path.absolute()))
            if known is None or known[:2] != (status.st_size, status.st_mtime_ns):
                volumes = read_channels(path, repair=True, orientation="sform")
                image_perceptual_hashes = [
                    base64.b64encode(perceptual_hash(volume).tobytes()).decode()
                    for volume in volumes
                    if len(np.unique(volume.data)) > _FEW_VALUES
                ]
                known = (status.st_size, status.st_mtime_ns, image_hashes(path, volumes), image_perceptual_hashes)
                self.files[str(path.absolute())] = known
            self.images.update(known[2])
            self.perceptual_hashes.update(known[3])


def normalized_subject(name: str) -> str:
    """Normalize the name of a subject: lower case, no spaces around it, no `sub-` of BIDS."""
    return re.sub(r"^sub[-_]", "", name.strip().casefold())


def image_hashes(path: Path, volumes: list[Volume]) -> list[str]:
    """Return the SHA-256 of a file, and the fingerprint of each image in it."""
    return [file_hash(path), *map(fingerprint, volumes)]
