"""A pretraining dataset: unlabeled studies, drawn from a prepared folder."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from pathlib import Path

import numpy as np

from magpie_core.errors import InputError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES, Modality
from magpie_core.pretraining.dataset.config import DatasetConfig
from magpie_core.pretraining.dataset.exclusions import Exclusions, normalized_subject
from magpie_core.pretraining.dataset.index import DatasetIndex, StudyRecord
from magpie_core.pretraining.dataset.sample_store import SampleStore
from magpie_core.pretraining.dataset.unlabeled_study import pack_unlabeled, packed_key, read_images
from magpie_core.training.sample import Sample

INDEX, PACKED = "studies.jsonl", "packed"
SPLITS = ("train", "validation", "all")
_BACKGROUND = int(Sample.pack(np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 1))).packed[0, 0, 0, 0])
_log = logging.getLogger(__name__)


class PretrainingDataset:
    """The studies of a prepared dataset (`magpie dataset prepare`), all or one split.

    A subject's split follows from its name alone: it stays when others are added, and is that of all its studies.
    Excluded subjects and images are never drawn.

    Args:
        split: "train", "validation" or "all".

    Raises:
        InputError: If the folder is not a dataset, or there is no such split.
    """

    def __init__(self, folder: Path, split: str = "train") -> None:
        if split not in SPLITS:
            raise InputError(f"Unknown split '{split}'", remedy=f"Use one of {', '.join(SPLITS)}")
        self.folder = Path(folder)
        self.split = split
        self.config = DatasetConfig.read(self.folder)
        self._store = SampleStore(self.folder / PACKED)
        exclusions = Exclusions.read(self.folder)
        self._records = [
            record
            for record in DatasetIndex(self.folder / INDEX).ready()
            if split in ("all", split_of(record.subject, self.config.validation_fraction))
            and not exclusions.has_subject(record.subject)
            and not exclusions.has_any_image(record.fingerprints)
        ]

    def __len__(self) -> int:
        return len(self._records)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names of the subjects, sorted."""
        return tuple(sorted({record.subject for record in self._records}))

    @property
    def modalities(self) -> dict[str, int]:
        """Number of studies with each of `GLIOMA_MODALITY_NAMES`."""
        counts = Counter(name for record in self._records for name in record.modalities)
        return {name: counts[name] for name in GLIOMA_MODALITY_NAMES}

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw a random study, each with the same probability; modalities that it lacks are zero.

        A packed study is memory-mapped. One that was evicted, or is damaged, is prepared again from its files, which
        takes seconds to minutes; if they are missing or were changed it is skipped, with a warning.

        Raises:
            InputError: If there is no study (left) to draw.
            ResourceError: If it cannot be read or written back.
        """
        while self._records:
            record = self._records[rng.integers(len(self._records))]
            packed = self._store.get(record.packed)
            if packed is None or packed.shape[0] != len(record.modalities) + 1:
                packed = self._prepare_again(record)
            if packed is not None:
                return Sample(_all_modalities(packed, record.modalities), record.subject)
            self._records.remove(record)
        raise InputError(
            f"The dataset has no study in the split '{self.split}'",
            cause="none was prepared, or none is left",
            remedy="Prepare more: magpie dataset prepare",
            source=str(self.folder),
        )

    def _prepare_again(self, record: StudyRecord) -> np.ndarray | None:
        files = {Modality(name): Path(path) for name, (path, _, _) in record.files.items()}
        try:
            images = read_images(files)
            if packed_key(images, self.config) != record.packed:
                raise InputError("The study's files are missing or were changed", source=record.subject)
            packed = pack_unlabeled(images, self.config, name=record.subject).packed
        except InputError as error:
            _log.warning("Skipped a study of the dataset: %s", error)
            return None
        if packed is not None:
            self._store.put(record.packed, packed)
        return packed


def split_of(subject: str, validation_fraction: float) -> str:
    """Return the split of a subject, "train" or "validation", by a hash of its name."""
    name = normalized_subject(subject).encode(errors="surrogatepass")  # a folder's name need not be text
    number = int(hashlib.sha256(name).hexdigest()[:8], 16)
    return "validation" if number < validation_fraction * 2**32 else "train"


def _all_modalities(packed: np.ndarray, present: tuple[str, ...]) -> np.ndarray:
    """Add absent modalities as zero to the packed images of present ones, (S + 1, D, H, W)."""
    if present == GLIOMA_MODALITY_NAMES:
        return packed
    full = np.full((len(GLIOMA_MODALITY_NAMES) + 1, *packed.shape[1:]), _BACKGROUND, np.uint8)
    full[[GLIOMA_MODALITY_NAMES.index(name) for name in present] + [len(GLIOMA_MODALITY_NAMES)]] = packed
    return full
