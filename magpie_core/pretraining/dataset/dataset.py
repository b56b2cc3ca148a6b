"""Unlabeled studies for self-supervised pretraining, drawn from a prepared folder."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.modality import Modality
from magpie_core.pretraining.dataset.config import DatasetConfig
from magpie_core.pretraining.dataset.exclusions import Exclusions, plain_subject
from magpie_core.pretraining.dataset.index import DatasetIndex, StudyRecord
from magpie_core.pretraining.dataset.sample_store import SampleStore
from magpie_core.pretraining.dataset.unlabeled_study import pack_unlabeled, packed_key, read_images
from magpie_core.training.sample import MODALITIES, Sample

INDEX, PACKED = "studies.jsonl", "packed"
SPLITS = ("train", "validation", "all")
_OUTSIDE = int(Sample.pack(np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 1))).packed[0, 0, 0, 0])
_log = logging.getLogger(__name__)


class PretrainingDataset:
    """The studies of a prepared corpus (`magpie corpus prepare`), all or one side of its split.

    Which side a subject is on follows from its name alone: it stays there when others join, and all its studies stay
    together. Excluded subjects and images are never drawn.

    Parameters
    ----------
    folder
        The corpus.
    split
        "train", "validation" or "all".
    threads
        Processor threads for studies that must be prepared again.

    Attributes
    ----------
    folder, split
        As given.
    recipe
        How the studies were prepared.

    Raises
    ------
    InputError
        If the folder is not a corpus, or there is no such split.
    """

    def __init__(self, folder: Path, split: str = "train", *, threads: int | None = None) -> None:
        if split not in SPLITS:
            raise InputError(f"There is no split '{split}'", remedy=f"Use one of {', '.join(SPLITS)}")
        self.folder = Path(folder)
        self.split = split
        self.recipe = DatasetConfig.read(self.folder)
        self._threads = threads
        self._store = SampleStore(self.folder / PACKED)
        exclusions = Exclusions.of_corpus(self.folder)
        self._records = [
            record
            for record in DatasetIndex(self.folder / INDEX).ready()
            if split in ("all", side(record.subject, self.recipe.validation_share))
            and not exclusions.subject(record.subject)
            and not exclusions.any_image(record.fingerprints)
        ]

    def __len__(self) -> int:
        return len(self._records)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names of the subjects, sorted."""
        return tuple(sorted({record.subject for record in self._records}))

    @property
    def modalities(self) -> dict[str, int]:
        """How many studies have each of `MODALITIES`."""
        counts = Counter(name for record in self._records for name in record.modalities)
        return {name: counts[name] for name in MODALITIES}

    def draw(self, random: np.random.Generator) -> Sample:
        """A random study, every one as likely as any other; modalities that it lacks are zero.

        A packed study is read as it lies on disk. One that had to make room, or is damaged, is prepared again from its
        files, which takes seconds to minutes; if they are gone or were changed it is passed over, with a warning.

        Raises
        ------
        InputError
            If there is no study (left) to draw.
        ResourceError
            If it cannot be read, or not be written back.
        """
        while self._records:
            record = self._records[random.integers(len(self._records))]
            packed = self._store.get(record.packed)
            if packed is None or packed.shape[0] != len(record.modalities) + 1:
                packed = self._prepare_again(record)
            if packed is not None:
                return Sample(_all_modalities(packed, record.modalities), record.subject)
            self._records.remove(record)
        raise InputError(
            f"The corpus has no study to draw (split '{self.split}')",
            cause="none was prepared, or none is left",
            remedy="Prepare more: magpie corpus prepare",
            source=str(self.folder),
        )

    def _prepare_again(self, record: StudyRecord) -> np.ndarray | None:
        files = {Modality(name): Path(path) for name, (path, _, _) in record.files.items()}
        try:
            images = read_images(files)
            if packed_key(images, self.recipe) != record.packed:
                raise InputError("The study's files are gone or were changed", source=record.subject)
            packed = pack_unlabeled(images, self.recipe, name=record.subject, threads=self._threads).packed
        except InputError as error:
            _log.warning("Left out of the corpus: %s", error)
            return None
        if packed is not None:
            self._store.put(record.packed, packed)
        return packed


def side(subject: str, validation_share: float) -> str:
    """ "train" or "validation": which side of the split a subject is on, by a hash of its name."""
    name = plain_subject(subject).encode(errors="surrogatepass")  # a folder's name need not be text
    number = int(hashlib.sha256(name).hexdigest()[:8], 16)
    return "validation" if number < validation_share * 2**32 else "train"


def _all_modalities(packed: np.ndarray, present: tuple[str, ...]) -> np.ndarray:
    """Packed images of the modalities that are there, (S + 1, D, H, W), with the others added as zero."""
    if present == MODALITIES:
        return packed
    full = np.full((len(MODALITIES) + 1, *packed.shape[1:]), _OUTSIDE, np.uint8)
    full[[MODALITIES.index(name) for name in present] + [len(MODALITIES)]] = packed
    return full
