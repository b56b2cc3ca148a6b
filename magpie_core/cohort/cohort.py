"""A site's annotated cases on disk."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from filelock import FileLock

from magpie_core.cohort.case import BIDS_NAMES, Case
from magpie_core.errors import InputError, MagpieError, ResourceError
from magpie_core.imaging.label_schema import SCHEMAS, Region
from magpie_core.imaging.modality import Modality
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import read_segmentation, write_segmentation
from magpie_core.storage.atomic import write_bytes
from magpie_core.storage.audit_log import AuditLog, Entry

_DESCRIPTION = "dataset_description.json"
_GRID_TOLERANCE_MM = 0.05
T = TypeVar("T")


class Cohort:
    """Annotated cases in a folder that other programs can read (BIDS derivatives).

    A case is `sub-<patient>/ses-<visit>/anat/` with its modalities, `..._dseg.nii.gz` and the label schema beside it.
    What is in the cohort is what the log says; a folder that the log does not know was left by an interrupted `add`
    and goes to the bin. Several processes may work on one cohort at a time.

    Parameters
    ----------
    folder
        An existing cohort; see `Cohort.create`.

    Raises
    ------
    InputError
        If the folder is not a cohort.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            description = json.loads((self.folder / _DESCRIPTION).read_text(encoding="utf-8"))
            self._salt = bytes.fromhex(description["MagpieCohort"]["salt"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                "This folder does not hold MAGPIE's cases",
                cause=f"{_DESCRIPTION} is missing or not MAGPIE's",
                remedy="Choose the folder of your cases, or an empty one (command line: magpie cohort create)",
                source=str(folder),
            ) from error
        self.log = AuditLog(self.folder / "log.jsonl")

    @classmethod
    def create(cls, folder: Path, *, name: str = "MAGPIE cohort", who: str = "") -> Cohort:
        """Make an empty cohort in a new or empty folder.

        Raises
        ------
        InputError
            If the folder holds anything.
        ResourceError
            If it cannot be written.
        """
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise InputError(
                "A new cohort needs an empty folder", remedy="Choose another folder", source=str(folder)
            )
        description = {
            "Name": name,
            "BIDSVersion": "1.9.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "MAGPIE"}],
            # Patients are told apart by a hash with this salt, and not recognized without it.
            "MagpieCohort": {"salt": secrets.token_hex(16)},
        }
        _try_to_write(lambda: folder.mkdir(parents=True, exist_ok=True), folder)
        write_bytes(folder / _DESCRIPTION, (json.dumps(description, indent=2) + "\n").encode())
        cohort = cls(folder)
        with cohort._locked():
            cohort.log.append("create", who=who, name=name)
        return cohort

    def cases(self) -> list[Case]:
        """The cases, in the order they joined.

        Raises
        ------
        InputError
            If the log was tampered with.
        """
        return self._replay(self.log.entries())

    def patient_hash(self, identity: str) -> str:
        """The name under which a patient is kept: 12 hex digits of a salted hash."""
        return hashlib.sha256(self._salt + identity.strip().encode()).hexdigest()[:12]

    def add(
        self,
        study: Study,
        labels: Segmentation,
        *,
        patient: str,
        who: str = "",
        visit: str = "",
        proposal: Segmentation | None = None,
    ) -> Case:
        """Take a corrected study into the cohort.

        Parameters
        ----------
        study
            Its modalities; all are kept as they are.
        labels
            The correction, on the grid of one of the modalities.
        patient
            Identity of the patient (a number or name as the site uses it); kept only as a salted hash.
        who
            Who corrected it.
        visit
            Letters and digits; the next number by default.
        proposal
            What the model had proposed, to tell how much was changed.

        Raises
        ------
        InputError
            If the labels do not fit the study, are empty of voxels the network can learn from, or the case is there
            already.
        ResourceError
            If it cannot be written; then nothing was added.
        """
        if not patient.strip():
            raise InputError(
                "A case needs a patient",
                cause="cases of one patient must stay together when the cohort is divided",
                remedy="Give the patient's number as your site uses it; only a hash of it is kept",
                source=study.name,
            )
        if visit and not re.fullmatch(r"[A-Za-z0-9]+", visit):
            raise InputError("A visit's name has letters and digits only", source=visit)
        _check_grid(study, labels)
        edited = None if proposal is None else edit_share(proposal, labels)
        hashed = self.patient_hash(patient)
        with self._locked():
            known = self.cases()
            self._sweep(known)
            visit = visit or _next_visit(known, hashed)
            name = f"sub-{hashed}_ses-{visit}"
            if any(case.name == name for case in known):
                raise InputError(
                    "The cohort has this visit of this patient already",
                    remedy="Remove the old case first, or name another visit",
                    source=name,
                )
            place = self.folder / f"sub-{hashed}" / f"ses-{visit}"
            scratch = Path(
                _try_to_write(lambda: tempfile.mkdtemp(prefix=".adding-", dir=self.folder), self.folder)
            )
            try:
                digests = _write_case(scratch / "anat", name, study, labels)
                _refuse_duplicate(known, digests, study.name)
                _try_to_write(lambda: place.parent.mkdir(exist_ok=True), place.parent)
                _try_to_write(lambda: os.replace(scratch, place), place)
                entry = self.log.append(
                    "add",
                    who=who,
                    case=name,
                    patient=hashed,
                    digests=digests,
                    edited=edited,
                    warnings=list(study.warnings),
                )
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
        return self._case(entry)

    def remove(self, name: str, *, who: str = "", reason: str) -> Path:
        """Move a case to the bin; returns where it lies there.

        Raises
        ------
        InputError
            If there is no such case, or no reason is given.
        """
        if not reason.strip():
            raise InputError("A case is removed for a reason", remedy="Say why", source=name)
        with self._locked():
            case = self.case(name)
            target = self._bin(name)
            self._move(case.folder.parent, target)
            self.log.append("remove", who=who, case=name, reason=reason)
        return target

    def case(self, name: str) -> Case:
        """The case of that name.

        Raises
        ------
        InputError
            If there is none.
        """
        for case in self.cases():
            if case.name == name:
                return case
        raise InputError("There is no such case in the cohort", source=name)

    def check(self) -> list[str]:
        """What is wrong with the cohort, in sentences; empty if nothing is. Needs no right to write.

        Every seal of the log, every file's SHA-256, every label map's grid and integers, and folders that are in no
        log.
        """
        try:
            cases = self.cases()
        except InputError as error:
            return [str(error)]
        problems = []
        for case in cases:
            for file, digest in case.digests.items():
                path = case.folder / file
                if not path.is_file():
                    problems.append(f"{path}: The file is missing.")
                elif _digest(path) != digest:
                    problems.append(f"{path}: The file was changed since it was added.")
            try:
                read_segmentation(case.labels)
            except MagpieError as error:
                problems.append(str(error))
        for folder in self._strangers(cases):
            problems.append(f"{folder}: The folder is in no log; an interrupted addition may have left it.")
        return problems

    def folds(self, count: int) -> list[list[Case]]:
        """Cases shared out to `count` folds, all visits of a patient in one, the same way every time.

        Raises
        ------
        InputError
            If there are fewer than two patients, or fewer than folds.
        """
        patients: dict[str, list[Case]] = {}
        for case in self.cases():
            patients.setdefault(case.patient, []).append(case)
        if len(patients) < 2:
            raise InputError(
                "All cases are of one patient" if patients else "There are no cases",
                cause="each case is judged by a model that has seen nothing of its patient",
                remedy="Add cases of another patient" if patients else "Add cases of at least two patients",
                source=str(self.folder),
            )
        if not 2 <= count <= len(patients):
            raise InputError(
                f"The cohort cannot be divided into {count} folds",
                cause=f"it has {len(patients)} patients, and those of a patient stay together",
                remedy="Use at least 2 folds and no more than there are patients",
                source=str(self.folder),
            )
        folds: list[list[Case]] = [[] for _ in range(count)]
        # The hash is random already; the fullest folds wait.
        for patient in sorted(patients, key=lambda key: (-len(patients[key]), key)):
            min(folds, key=len).extend(patients[patient])
        return folds

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            lock = FileLock(self.folder / ".lock", timeout=600)
            lock.acquire()
        except OSError as error:
            raise ResourceError(
                "The cohort cannot be changed",
                cause=error.strerror or str(error),
                remedy="Check that you may write to its folder",
                source=str(self.folder),
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _replay(self, entries: list[Entry]) -> list[Case]:
        cases: dict[str, Case] = {}
        for entry in entries:
            if entry.event == "add":
                case = self._case(entry)
                cases[case.name] = case
            elif entry.event == "remove":
                cases.pop(entry.details["case"], None)
        return list(cases.values())

    def _case(self, entry: Entry) -> Case:
        details = entry.details
        name = details["case"]
        subject, session = name.split("_")
        folder = self.folder / subject / session / "anat"
        images = {}
        for modality, suffix in BIDS_NAMES.items():
            file = f"{name}_{suffix}.nii.gz"
            if file in details["digests"]:
                images[modality] = folder / file
        return Case(
            name=name,
            patient=details["patient"],
            folder=folder,
            images=images,
            labels=folder / f"{name}_dseg.nii.gz",
            annotator=entry.who,
            added=entry.time,
            digests=details["digests"],
            edited=details["edited"],
        )

    def _strangers(self, cases: list[Case]) -> list[Path]:
        """Folders of cases that the log does not know, and what interrupted additions left."""
        known = {case.folder.parent for case in cases}
        found = [path for path in self.folder.glob("sub-*/ses-*") if path not in known]
        return sorted([*found, *self.folder.glob(".adding-*")])

    def _sweep(self, cases: list[Case]) -> None:
        for stranger in self._strangers(cases):
            self._move(stranger, self._bin(stranger.name.lstrip(".")))

    def _move(self, source: Path, target: Path) -> None:
        _try_to_write(lambda: os.replace(source, target), target)

    def _bin(self, name: str) -> Path:
        """A free place in the bin."""
        folder = self.folder / "bin"
        _try_to_write(lambda: folder.mkdir(exist_ok=True), folder)
        number = 1
        while (folder / f"{name}_{number}").exists():
            number += 1
        return folder / f"{name}_{number}"


def edit_share(proposal: Segmentation, correction: Segmentation) -> float:
    """Share of the tumor (union of both) whose tissue was changed, 0 to 1.

    Raises
    ------
    InputError
        If the two lie on different grids.
    """
    if not proposal.geometry.matches(correction.geometry, _GRID_TOLERANCE_MM):
        raise InputError("The proposal and the correction lie on different grids", source=correction.source)
    common = SCHEMAS["magpie"]
    first = proposal.schema.convert(proposal.labels, common)
    second = correction.schema.convert(correction.labels, common)
    union = int(np.count_nonzero((first > 0) | (second > 0)))
    return float(np.count_nonzero(first != second) / union) if union else 0.0


def _check_grid(study: Study, labels: Segmentation) -> None:
    if not any(
        volume.geometry.matches(labels.geometry, _GRID_TOLERANCE_MM) for volume in study.volumes.values()
    ):
        raise InputError(
            "The segmentation lies on another grid than the images",
            cause=f"its size is {' x '.join(map(str, labels.labels.shape))}",
            remedy="Export it on the grid of one of the modalities",
            source=labels.source or study.name,
        )
    for region in Region:
        if labels.schema.region_mask(labels.labels, region).all():
            raise InputError(f"The segmentation is {region.label.lower()} everywhere", source=labels.source)


def _write_case(folder: Path, name: str, study: Study, labels: Segmentation) -> dict[str, str]:
    """Write all files of a case; SHA-256 of each by its name."""
    _try_to_write(lambda: folder.mkdir(parents=True), folder)
    for modality, volume in study.volumes.items():
        write_volume(volume, folder / f"{name}_{BIDS_NAMES[Modality(modality)]}.nii.gz")
    write_segmentation(labels, folder / f"{name}_dseg.nii.gz")
    return {path.name: _digest(path) for path in sorted(folder.iterdir())}


def _refuse_duplicate(known: list[Case], digests: dict[str, str], source: str) -> None:
    """The same image content twice is the same case under another name."""
    for case in known:
        images = {case.digests[path.name] for path in case.images.values()}
        if images & set(digests.values()):
            raise InputError(
                "The cohort has this study already",
                cause=f"an image of it is in {case.name}",
                remedy="Remove that case first if this correction is better",
                source=source,
            )


def _next_visit(known: list[Case], patient: str) -> str:
    taken = {case.name.split("_ses-")[1] for case in known if case.patient == patient}
    number = 1
    while f"{number:02d}" in taken:
        number += 1
    return f"{number:02d}"


def _digest(path: Path) -> str:
    seal = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            seal.update(block)
    return seal.hexdigest()


def _try_to_write(action: Callable[[], T], path: Path) -> T:
    try:
        return action()
    except OSError as error:
        raise ResourceError(
            "The cohort cannot be written",
            cause=error.strerror or str(error),
            remedy="Check that you may write there and that the disk has room",
            source=str(path),
        ) from error
