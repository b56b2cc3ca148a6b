"""Preparing a corpus: every study once, whatever interrupts the work."""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from filelock import FileLock, Timeout

from magpie_core.errors import InputError, MagpieError, ResourceError
from magpie_core.pretraining.dataset.config import DatasetConfig
from magpie_core.pretraining.dataset.dataset import INDEX, PACKED
from magpie_core.pretraining.dataset.exclusions import Exclusions
from magpie_core.pretraining.dataset.index import (
    DUPLICATE,
    EXCLUDED,
    READY,
    REFUSED,
    DatasetIndex,
    StudyRecord,
)
from magpie_core.pretraining.dataset.sample_store import SampleStore
from magpie_core.pretraining.dataset.sources import StudyFiles
from magpie_core.pretraining.dataset.unlabeled_study import pack_unlabeled, packed_key, read_images

Progress = Callable[[float, str], None]
_SAME_IMAGE = "one of its images is on the list of exclusions, under whatever name"
_Shared = tuple[DatasetConfig, Exclusions, SampleStore, "int | None"]


@dataclass(frozen=True)
class PreparationOptions:
    """How to go about it; what comes out does not depend on it.

    Attributes
    ----------
    processes
        Studies prepared at a time.
    threads
        Processor threads of each.
    limit_bytes
        Allowance on disk for packed studies: those used longest ago make room. Infinite for none, None for that of
        before.
    retry
        Try again what was refused before.

    Raises
    ------
    InputError
        If the allowance is no number.
    """

    processes: int = 1
    threads: int | None = 1
    limit_bytes: float | None = None
    retry: bool = False

    def __post_init__(self) -> None:
        if self.limit_bytes is not None and not self.limit_bytes >= 0:
            raise InputError("The allowance on disk is no number of bytes", remedy="Give 0 or more, or inf")


def prepare_dataset(
    studies: Iterable[StudyFiles],
    folder: Path,
    recipe: DatasetConfig,
    exclusions: Iterable[Path] = (),
    options: PreparationOptions | None = None,
    *,
    on_progress: Progress | None = None,
) -> DatasetIndex:
    """Prepare the studies that are new or changed, and add them to the corpus in `folder`.

    Stopped at any time, even by a kill, the same call goes on where it was. A study that cannot be used is recorded
    with its reason. Exclusions are kept in the corpus and hold for all later calls; studies that are in already leave.

    Parameters
    ----------
    studies
        What to prepare, as `list_studies` finds it.
    exclusions
        Lists, files and folders, as `Exclusions.add` takes them.
    on_progress
        Called with the share done and the subject; may raise Cancelled.

    Raises
    ------
    InputError
        If the folder is another corpus or none, or an exclusion cannot be read.
    ResourceError
        If another process prepares it, the disk is full, or a package is missing.
    """
    options = options or PreparationOptions()
    folder = Path(folder)
    try:
        recipe.settle(folder)
        with FileLock(str(folder / ".lock"), timeout=0):
            return _Preparation(folder, recipe, exclusions, options).run(
                list(studies), on_progress or (lambda share, subject: None)
            )
    except Timeout:
        raise ResourceError(
            "The corpus is being prepared by another process",
            remedy="Wait for it, or choose another folder",
            source=str(folder),
        ) from None
    except OSError as error:
        raise ResourceError(
            "The corpus cannot be written",
            cause=error.strerror or str(error),
            remedy="Check that you may write there and that the disk has room",
            source=str(folder),
        ) from error


class _Preparation:
    def __init__(
        self, folder: Path, recipe: DatasetConfig, exclusions: Iterable[Path], options: PreparationOptions
    ) -> None:
        self._recipe = recipe
        self._options = options
        self._store = SampleStore(folder / PACKED)
        if options.limit_bytes is not None:
            self._store.allow(None if math.isinf(options.limit_bytes) else int(options.limit_bytes))
        self._store.clear_scratch()
        self._index = DatasetIndex(folder / INDEX)
        self._exclusions = Exclusions.of_corpus(folder)
        for source in exclusions:
            self._exclusions.add(source)
        self._exclusions.save(folder)

    def run(self, studies: list[StudyFiles], tell: Progress) -> DatasetIndex:
        for record in self._index.ready():
            if self._exclusions.subject(record.subject) or self._exclusions.any_image(record.fingerprints):
                self._store.drop(record.packed)
                self._index.add(replace(record, state=EXCLUDED, problems=(_excluded(record),)))
        self._owners = {image: record.key for record in self._index.ready() for image in record.fingerprints}
        self._prepared_before = {
            record.packed: record for record in self._index.records.values() if record.modalities
        }
        waiting = self._to_prepare(studies)
        done = len(studies) - len(waiting)
        for record in self._prepared(waiting):
            self._take(record)
            done += 1
            tell(done / len(studies), record.subject)
        return self._index

    def _to_prepare(self, studies: list[StudyFiles]) -> list[StudyFiles]:
        """What is new or changed, and duplicates of what left; those in use first, so that no copy goes before them."""
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
        """Records in the order of the studies, whatever the number of processes."""
        exclusions = replace(self._exclusions, read={})
        shared = (self._recipe, exclusions, self._store, self._options.threads)
        if self._options.processes <= 1:
            for study in studies:
                yield self._completed(study, prepare_study(study, *shared), shared)
            return
        waiting = deque(studies)
        running: deque[tuple[StudyFiles, Future[StudyRecord]]] = deque()
        try:
            with _workers(self._options.processes) as pool:
                while waiting or running:
                    while waiting and len(running) < 2 * self._options.processes:
                        study = waiting.popleft()
                        with _interrupts_held():
                            running.append((study, pool.submit(prepare_study, study, *shared)))
                    study, future = running.popleft()
                    yield self._completed(study, future.result(), shared)
        except BrokenProcessPool:
            raise ResourceError(
                "A process was stopped by the system",
                cause="probably memory ran out",
                remedy="Use fewer --processes; the same command goes on where it was",
            ) from None
        finally:
            self._store.clear_scratch()

    def _completed(self, study: StudyFiles, record: StudyRecord, shared: _Shared) -> StudyRecord:
        """A record whose packed sample was there already (files moved, copied or renamed), with what is known of it."""
        if record.state != READY or record.modalities:
            return record
        other = self._prepared_before.get(record.packed)
        if other is not None and self._store.has(record.packed):
            return replace(
                record,
                modalities=other.modalities,
                shape=other.shape,
                problems=other.problems,
                warnings=other.warnings,
                seconds=other.seconds,
            )
        self._store.drop(record.packed)  # a kill came between the sample and its record, or it has just left
        return prepare_study(study, *shared)

    def _take(self, record: StudyRecord) -> None:
        """Enter a study, unless one of its images is in the corpus already."""
        before = self._index.records.get(record.key)
        spare = {before.packed} if before is not None and before.state == READY else set()
        self._changed.discard(record.key)
        if record.state == READY:
            others = {o.key: o for image in record.fingerprints if (o := self._owner(image))}
            others.pop(record.key, None)
            staying = [other for other in others.values() if not self._gives_way(other, record)]
            for other in others.values() if not staying else ():
                spare.add(other.packed)
                self._index.add(replace(other, state=DUPLICATE, problems=(_duplicate(other, record),)))
            if staying:
                spare.add(record.packed)
                record = replace(record, state=DUPLICATE, problems=(_duplicate(record, staying[0]),))
        if record.state == READY:
            spare.discard(record.packed)
            self._owners.update(dict.fromkeys(record.fingerprints, record.key))
            self._prepared_before[record.packed] = record
        if spare:  # studies may have exchanged their files: what leaves one may be in use by another
            spare -= {other.packed for other in self._index.ready() if other.key != record.key}
        for key in spare:
            self._store.drop(key)
        self._index.add(record)

    def _owner(self, image: str) -> StudyRecord | None:
        """The study in use that has the image."""
        record = self._index.records.get(self._owners.get(image, ""))
        return record if record and record.state == READY and image in record.fingerprints else None

    def _gives_way(self, old: StudyRecord, new: StudyRecord) -> bool:
        """Whether `old` is no longer what it was: its files were changed, or `new` is in its place."""
        return old.key in self._changed or _superseded(old, new)


@contextmanager
def _workers(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that leave Ctrl-C to this one; they end with the block, at once if it does not end well."""
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_ignore_interrupts
    ) as pool:
        try:
            yield pool
        except BaseException:
            for process in list((pool._processes or {}).values()):  # `terminate_workers` is of Python 3.14
                process.terminate()
            raise


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the block ends; a process that begins there does not hear of it even while it starts."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare_study(
    study: StudyFiles, recipe: DatasetConfig, exclusions: Exclusions, store: SampleStore, threads: int | None
) -> StudyRecord:
    """Prepare one study and store it packed; faults become part of the record (ResourceErrors are raised)."""
    begun = time.monotonic()
    record = StudyRecord(study.key, study.subject, study.session, study.status())
    if exclusions.subject(study.subject):
        return replace(record, state=EXCLUDED, problems=(_excluded(record),))
    try:
        images = read_images(study.files)
        record = replace(record, fingerprints=images.hashes, problems=images.problems)
        if exclusions.any_image(images.hashes):
            return replace(record, state=EXCLUDED, problems=(_excluded(record, _SAME_IMAGE),))
        if images.volumes and (alike := exclusions.likeness(images.volumes.values())):
            cause = f"one of its images looks like an altered copy of one on the list (likeness {alike:.3f})"
            return replace(record, state=EXCLUDED, problems=(_excluded(record, cause),))
        key = packed_key(images, recipe)
        if store.has(key):
            return replace(record, packed=key)
        packed = pack_unlabeled(images, recipe, name=study.subject, threads=threads)
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
            seconds=round(time.monotonic() - begun, 3),
        )
    except ResourceError:
        raise
    except Exception as error:  # one odd scan of thousands must not stop the others
        fault = _as_fault(error, study)
        return replace(record, state=REFUSED, problems=(*record.problems, fault.as_dict()))


def _superseded(old: StudyRecord, new: StudyRecord) -> bool:
    """Whether `new` is `old` with another file beside, or at a new place."""
    old_places = {path for path, _, _ in old.files.values()}
    new_places = {path for path, _, _ in new.files.values()}
    return old_places < new_places or not all(Path(path).exists() for path in old_places)


def _as_fault(error: Exception, study: StudyFiles) -> MagpieError:
    if isinstance(error, MagpieError):
        return error
    if isinstance(error, MemoryError):
        return InputError(
            "The study is too large for this computer's memory",
            remedy="Look at its size; leave it out, or prepare it on a computer with more memory",
            source=str(next(iter(study.files.values()))),
        )
    return InputError(
        f"Something unexpected went wrong ({type(error).__name__}: {str(error).strip()})",
        remedy="Look at the images; please report it if they are sound",
        source=str(next(iter(study.files.values()))),
    )


def _excluded(
    record: StudyRecord, cause: str = "its subject or an image of it is on the list of exclusions"
) -> dict[str, str]:
    return InputError(
        "The study is excluded", cause=cause, remedy="Nothing needs to be done", source=_first_file(record)
    ).as_dict()


def _duplicate(record: StudyRecord, other: StudyRecord) -> dict[str, str]:
    return InputError(
        "An image of the study is in the corpus already",
        cause=f"as one of {other.subject} ({_first_file(other)})",
        remedy="Keep one of the copies; if the subjects are one, give them one name",
        source=_first_file(record),
    ).as_dict()


def _first_file(record: StudyRecord) -> str:
    return next(iter(record.files.values()))[0]
