"""Prepare a pretraining dataset: every study once, resumable after any interruption."""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from magpie_core.errors import InputError, MagpieError, ResourceError
from magpie_core.pretraining.dataset.config import DatasetConfig
from magpie_core.pretraining.dataset.dataset import INDEX, PACKED
from magpie_core.pretraining.dataset.exclusions import Exclusions
from magpie_core.pretraining.dataset.index import DUPLICATE, EXCLUDED, READY, REFUSED, DatasetIndex, StudyRecord
from magpie_core.pretraining.dataset.sample_store import SampleStore
from magpie_core.pretraining.dataset.sources import StudyFiles
from magpie_core.pretraining.dataset.unlabeled_study import pack_unlabeled, packed_key, read_images
from magpie_core.progress import Progress, no_progress
from magpie_core.storage.atomic import write_errors
from magpie_core.storage.folder_lock import locked_folder

_SAME_IMAGE = "one of its images is on the list of exclusions, under whatever name"
_Shared = tuple[DatasetConfig, Exclusions, SampleStore, "int | None"]


@dataclass(frozen=True)
class PreparationOptions:
    """Processes and disk use of a preparation; its result does not depend on them.

    Attributes:
        processes, threads: Studies prepared in parallel, and CPU threads of each.
        quota_bytes: Disk quota for packed studies, of which the least recently used are evicted. Infinite for none,
            None for the quota set before.
        retry: Prepare again what was refused before.
    """

    processes: int = 1
    threads: int | None = 1
    quota_bytes: float | None = None
    retry: bool = False

    def __post_init__(self) -> None:
        if self.quota_bytes is not None and not self.quota_bytes >= 0:
            raise InputError("The disk quota is not a number of bytes", remedy="Give 0 or more, or inf")


def prepare_dataset(
    studies: Iterable[StudyFiles],
    folder: Path,
    config: DatasetConfig,
    exclusions: Iterable[Path] = (),
    options: PreparationOptions | None = None,
    *,
    progress: Progress = no_progress,
) -> DatasetIndex:
    """Prepare the studies that are new or changed, and add them to the dataset in `folder`.

    Interrupted at any time, even by a kill, it is resumed by the same call. A study that cannot be used is recorded
    with the reason. Exclusions are kept in the dataset and apply to all later calls; studies that are in already are
    removed.

    Args:
        exclusions: Lists, files and folders, as `Exclusions.add` takes them.

    Raises:
        InputError: If the folder is another dataset or none, or an exclusion cannot be read.
        ResourceError: If another process prepares it, the disk is full, or a package is missing.
    """
    options = options or PreparationOptions()
    folder = Path(folder)
    with write_errors(folder, "Cannot write the dataset"):
        config.write_or_check(folder)
        with locked_folder(folder, "Another process is preparing this dataset"):
            return _Preparation(folder, config, exclusions, options).run(list(studies), progress)


class _Preparation:
    def __init__(
        self, folder: Path, config: DatasetConfig, exclusions: Iterable[Path], options: PreparationOptions
    ) -> None:
        self._config = config
        self._options = options
        self._store = SampleStore(folder / PACKED)
        if options.quota_bytes is not None:
            self._store.set_quota(None if math.isinf(options.quota_bytes) else int(options.quota_bytes))
        self._store.clear_scratch()
        self._index = DatasetIndex(folder / INDEX)
        self._exclusions = Exclusions.read(folder)
        for source in exclusions:
            self._exclusions.add(source)
        self._exclusions.save(folder)

    def run(self, studies: list[StudyFiles], progress: Progress) -> DatasetIndex:
        for record in self._index.ready():
            exclusions = self._exclusions
            if exclusions.has_subject(record.subject) or exclusions.has_any_image(record.fingerprints):
                self._store.remove(record.packed)
                self._index.add(replace(record, state=EXCLUDED, problems=(_excluded(record),)))
        self._owners = {image: record.key for record in self._index.ready() for image in record.fingerprints}
        self._prepared_before = {record.packed: record for record in self._index.records.values() if record.modalities}
        waiting = self._to_prepare(studies)
        done = len(studies) - len(waiting)
        for record in self._prepared(waiting):
            self._take(record)
            done += 1
            progress(done / len(studies), record.subject)
        return self._index

    def _to_prepare(self, studies: list[StudyFiles]) -> list[StudyFiles]:
        """Return the new or changed studies, and duplicates of removed ones; those in use come first."""
        self._changed = {study.key for study in studies if self._is_new(study)}
        records = self._index.records
        kept = {
            image
            for record in records.values()
            if record.state == EXCLUDED or (record.state == READY and record.key not in self._changed)
            for image in record.fingerprints
        }
        waiting = [
            study
            for study in studies
            if study.key in self._changed
            or (records[study.key].state == DUPLICATE and kept.isdisjoint(records[study.key].fingerprints))
        ]
        ready = {record.key for record in self._index.ready()}
        return sorted(waiting, key=lambda study: study.key not in ready)

    def _is_new(self, study: StudyFiles) -> bool:
        before = self._index.records.get(study.key)
        if before is None or (before.subject, before.session) != (study.subject, study.session):
            return True
        if before.files != study.status():
            return True
        return self._options.retry and before.state == REFUSED

    def _prepared(self, studies: list[StudyFiles]) -> Iterator[StudyRecord]:
        """Yield records in the order of the studies, whatever the number of processes."""
        exclusions = replace(self._exclusions, files={})
        shared = (self._config, exclusions, self._store, self._options.threads)
        if self._options.processes <= 1:
            for study in studies:
                yield self._completed(study, prepare_unlabeled(study, *shared), shared)
            return
        waiting = deque(studies)
        running: deque[tuple[StudyFiles, Future[StudyRecord]]] = deque()
        try:
            with _worker_pool(self._options.processes) as pool:
                while waiting or running:
                    while waiting and len(running) < 2 * self._options.processes:
                        study = waiting.popleft()
                        with _interrupts_blocked():
                            running.append((study, pool.submit(prepare_unlabeled, study, *shared)))
                    study, future = running.popleft()
                    yield self._completed(study, future.result(), shared)
        except BrokenProcessPool:
            raise ResourceError(
                "The operating system stopped a process",
                cause="the memory was probably exhausted",
                remedy="Use fewer --processes; the same command resumes",
            ) from None
        finally:
            self._store.clear_scratch()

    def _completed(self, study: StudyFiles, record: StudyRecord, shared: _Shared) -> StudyRecord:
        """Complete a record whose packed sample existed already (files moved, copied or renamed)."""
        if record.state != READY or record.modalities:
            return record
        other = self._prepared_before.get(record.packed)
        if other is not None and self._store.has(record.packed):
            same = ("modalities", "shape", "problems", "warnings", "seconds")
            return replace(record, **{name: getattr(other, name) for name in same})
        self._store.remove(record.packed)  # a kill came between the sample and its record, or it was just removed
        return prepare_unlabeled(study, *shared)

    def _take(self, record: StudyRecord) -> None:
        """Add a study to the index, unless one of its images is in the dataset already."""
        before = self._index.records.get(record.key)
        unused = {before.packed} if before is not None and before.state == READY else set()
        self._changed.discard(record.key)
        if record.state == READY:
            others = {o.key: o for image in record.fingerprints if (o := self._owner(image))}
            others.pop(record.key, None)
            changed = self._changed
            kept = [other for other in others.values() if other.key not in changed and not _superseded(other, record)]
            for other in others.values() if not kept else ():
                unused.add(other.packed)
                self._index.add(replace(other, state=DUPLICATE, problems=(_duplicate(other, record),)))
            if kept:
                unused.add(record.packed)
                record = replace(record, state=DUPLICATE, problems=(_duplicate(record, kept[0]),))
        if record.state == READY:
            unused.discard(record.packed)
            self._owners.update(dict.fromkeys(record.fingerprints, record.key))
            self._prepared_before[record.packed] = record
        if unused:  # studies may have exchanged their files: what one no longer uses may be in use by another
            unused -= {other.packed for other in self._index.ready() if other.key != record.key}
        for key in unused:
            self._store.remove(key)
        self._index.add(record)

    def _owner(self, image: str) -> StudyRecord | None:
        """Return the study in use that has the image."""
        record = self._index.records.get(self._owners.get(image, ""))
        return record if record and record.state == READY and image in record.fingerprints else None


def prepare_unlabeled(
    study: StudyFiles, config: DatasetConfig, exclusions: Exclusions, store: SampleStore, threads: int | None
) -> StudyRecord:
    """Prepare one study and store it packed; errors become part of the record (ResourceErrors are raised)."""
    start = time.monotonic()
    record = StudyRecord(study.key, study.subject, study.session, study.status())
    if exclusions.has_subject(study.subject):
        return replace(record, state=EXCLUDED, problems=(_excluded(record),))
    try:
        images = read_images(study.files)
        record = replace(record, fingerprints=images.hashes, problems=images.problems)
        if exclusions.has_any_image(images.hashes):
            return replace(record, state=EXCLUDED, problems=(_excluded(record, _SAME_IMAGE),))
        if images.volumes and (similarity := exclusions.similarity(images.volumes.values())):
            cause = f"one of its images is an altered copy of one on the list (similarity {similarity:.3f})"
            return replace(record, state=EXCLUDED, problems=(_excluded(record, cause),))
        key = packed_key(images, config)
        if store.has(key):
            return replace(record, packed=key)
        packed = pack_unlabeled(images, config, name=study.subject, threads=threads)
        if packed.packed is None:
            return replace(record, state=REFUSED, problems=packed.problems)
        store.put(key, packed.packed)
        return replace(
            record,
            packed=key,
            modalities=packed.modalities,
            shape=packed.packed.shape[1:],
            problems=packed.problems,
            warnings=packed.warnings,
            seconds=round(time.monotonic() - start, 3),
        )
    except ResourceError:
        raise
    except Exception as error:  # one faulty scan of thousands must not stop the others
        refusal = _as_magpie_error(error, study)
        return replace(record, state=REFUSED, problems=(*record.problems, refusal.as_dict()))


def _superseded(old: StudyRecord, new: StudyRecord) -> bool:
    """Return whether `new` is `old` with a further file, or at another path."""
    old_paths = {path for path, _, _ in old.files.values()}
    new_paths = {path for path, _, _ in new.files.values()}
    return old_paths < new_paths or not all(Path(path).exists() for path in old_paths)


def _as_magpie_error(error: Exception, study: StudyFiles) -> MagpieError:
    if isinstance(error, MagpieError):
        return error
    source = str(next(iter(study.files.values())))
    if isinstance(error, MemoryError):
        remedy = "Leave it out, or prepare it on a computer with more memory"
        return InputError("The study is too large for this computer's memory", remedy=remedy, source=source)
    what = f"Unexpected error ({type(error).__name__}: {str(error).strip()})"
    return InputError(what, remedy="Check the images; please report the error if they are sound", source=source)


def _excluded(
    record: StudyRecord, cause: str = "its subject or an image of it is on the list of exclusions"
) -> dict[str, str]:
    return InputError("The study is excluded", cause=cause, remedy="None is needed", source=record.first_file).as_dict()


def _duplicate(record: StudyRecord, other: StudyRecord) -> dict[str, str]:
    return InputError(
        "An image of the study is in the dataset already",
        cause=f"as one of {other.subject} ({other.first_file})",
        remedy="Keep one of the copies; if the subjects are the same, give them one name",
        source=record.first_file,
    ).as_dict()


@contextmanager
def _worker_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes that leave Ctrl-C to this one; they end with the block, at once if it raises."""
    ignore_interrupts = (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(processes, get_context("spawn"), signal.signal, ignore_interrupts) as pool:
        try:
            yield pool
        except BaseException:
            for process in list((pool._processes or {}).values()):  # `terminate_workers` is of Python 3.14
                process.terminate()
            raise


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C until the block ends, so that a process started in it never receives it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
