"""A site's annotated cases on disk."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import MappingProxyType

from magpie_core.cohort.case import (
    BIDS_NAMES,
    PREPARATION,
    Case,
    check_segmentation,
    edited_fraction,
    outline_hash,
    pack_hash,
)
from magpie_core.cohort.case_checks import check_names, damage_of, refuse_duplicate
from magpie_core.cohort.folds import split_folds
from magpie_core.cohort.identity import (
    hash_patient,
    is_hash,
    normalize_patient,
    remember_name,
    site_salt,
    spellings_of_0_5,
)
from magpie_core.errors import InputError, MagpieError
from magpie_core.imaging.background import fingerprint
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.imaging.study import Study
from magpie_core.io.discovery import read_study
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import read_segmentation, write_segmentation
from magpie_core.preprocessing.preparation_cache import write_preparation
from magpie_core.preprocessing.prepared_study import PreparedStudy
from magpie_core.storage.atomic import write_bytes, write_errors
from magpie_core.storage.audit_log import AuditLog
from magpie_core.storage.folder_lock import locked_folder
from magpie_core.storage.manifest import file_hash

_DESCRIPTION = "dataset_description.json"
_NO_FOLDS: Mapping[str, int] = MappingProxyType({})
TRASH_FOLDERS = ("trash", "bin")
"""Where removed cases lie; until 0.5 the name was "bin"."""


class Cohort:
    """Annotated cases in a folder that other programs can read (BIDS derivatives).

    A case is `sub-<patient>/ses-<visit>/anat/` with its modalities, `..._dseg.nii.gz` and the label schema beside it.
    The audit log says which cases are in the cohort; a case folder that it does not list is unassigned: an interrupted
    `add` left it, and the next change moves it to the trash. Several processes may work on one cohort at a time.

    Args:
        folder: An existing cohort; see `Cohort.create`.

    Raises:
        InputError: If the folder is not a cohort.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            description = json.loads((self.folder / _DESCRIPTION).read_text(encoding="utf-8"))
            self._salt = bytes.fromhex(description["MagpieCohort"]["salt"])
            self.name = str(description.get("Name", "MAGPIE cohort"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                "The folder is not a cohort",
                cause=f"{_DESCRIPTION} is missing or was not written by MAGPIE",
                remedy="Choose the folder of a cohort, or create one (command line: magpie cohort create)",
                source=str(folder),
            ) from error
        self.log = AuditLog(self.folder / "log.jsonl")

    @classmethod
    def create(cls, folder: Path, *, name: str = "MAGPIE cohort", user: str = "") -> Cohort:
        """Create an empty cohort (InputError if the folder is not empty, ResourceError if it cannot be written)."""
        folder = Path(folder)
        if folder.exists() and any(path.suffix != ".part" for path in folder.iterdir()):  # which a killed process left
            raise InputError("A new cohort needs an empty folder", remedy="Choose another folder", source=str(folder))
        description = {
            "Name": name,
            "BIDSVersion": "1.9.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "MAGPIE"}],
            # Patients are identified by a hash with this salt, which cannot be reversed without it.
            "MagpieCohort": {"salt": site_salt().hex()},
        }
        with write_errors(folder, "Cannot create the cohort"):
            folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / _DESCRIPTION, (json.dumps(description, indent=2) + "\n").encode())
        cohort = cls(folder)
        with cohort._locked():
            cohort.log.append("create", user=user, name=name)
        return cohort

    def cases(self) -> list[Case]:
        """Return the cases in the order they were added (InputError if the log was tampered with)."""
        cases: dict[str, Case] = {}
        for entry in self.log.entries():
            if entry.event == "add":
                cases[entry.details["case"]] = Case.from_entry(self.folder, entry)
            elif entry.event == "remove":
                cases.pop(entry.details["case"], None)
            elif entry.event == "accept-edit":
                case = cases[entry.details["case"]]
                digests = {**case.digests, **entry.details["after"]}
                cases[case.name] = replace(case, digests=digests, recorded_outline=entry.details.get("outline", ""))
        return list(cases.values())

    def case(self, name: str) -> Case:
        """Return the case of that name (InputError if there is none)."""
        for case in self.cases():
            if case.name == name:
                return case
        raise InputError("There is no such case in the cohort", source=name)

    def patient_hash(self, identity: str) -> str:
        """Return the name under which a patient is kept: 12 hexadecimal digits of a salted hash.

        All spellings of an identity have one name; in a cohort of version 0.5 the patient may have another already. A
        hash is its own: what was exported and is imported again is of the same patient.
        """
        if is_hash(identity.strip()):
            return identity.strip()
        known = {case.patient for case in self.cases()}
        before = (hash_patient(text, self._salt) for text in spellings_of_0_5(identity))
        found = next((hashed for hashed in before if hashed in known), None)
        return found or hash_patient(normalize_patient(identity), self._salt)

    def has_salt_of(self, other: Cohort) -> bool:
        """Whether a patient has the same hash in both cohorts, as in all that were made at one site."""
        return self._salt == other._salt

    def verified_cases(self) -> list[Case]:
        """Return the cases after comparing every file with what was added.

        Raises:
            InputError: If a file is missing or was changed; all such are named.
        """
        cases = self.cases()
        problems = [problem for case in cases for problem in damage_of(case)]
        if problems:
            raise InputError(
                "Files of the cohort are not what was added",
                cause=" ".join(problems),
                remedy="Restore them from a backup, accept a segmentation that was edited (magpie cohort accept-edit; "
                "Training module: Accept edit), or remove the case and add it again",
                source=str(self.folder),
            )
        return cases

    def add(
        self,
        study: Study,
        segmentation: Segmentation,
        *,
        patient: str,
        user: str = "",
        visit: str = "",
        local_name: str = "",
        proposal: Segmentation | None = None,
        preparation: PreparedStudy | None = None,
    ) -> Case:
        """Add a study with its corrected segmentation.

        Args:
            study: Its modalities; all are kept as they are.
            segmentation: The reference standard, on the grid of one of the modalities.
            patient: Identity of the patient (a number or name as the site uses it); kept only as a salted hash.
            visit: Letters and digits; the next number by default.
            local_name: What the site calls the case, kept at the site alone; patient and visit by default.
            proposal: Segmentation by the model, to measure how much was edited.
            preparation: How the images were prepared for the model: kept with the case, and reused for training.

        Raises:
            InputError: If the segmentation does not fit the study or fills it, or the study or visit is in the cohort
                already.
            ResourceError: If it cannot be written; then nothing was added.
        """
        check_names(patient, visit, source=study.name)
        check_segmentation(study, segmentation)
        edited = None if proposal is None else edited_fraction(proposal, segmentation)
        fingerprints = {modality.value: fingerprint(volume) for modality, volume in study.volumes.items()}
        perceptual_hashes = {modality.value: pack_hash(volume) for modality, volume in study.volumes.items()}
        hashed = self.patient_hash(patient)
        with self._locked():
            known = self.cases()
            number = _next_visit(known, hashed)
            name = f"sub-{hashed}_ses-{visit or number}"
            if any(case.name == name for case in known):
                raise InputError(
                    "The cohort has this visit of this patient already",
                    remedy="Remove the old case first, or name another visit",
                    source=name,
                )
            refuse_duplicate(known, fingerprints, perceptual_hashes, study.name)
            if local_name or not is_hash(patient.strip()):
                shown = visit or (number if any(case.patient == hashed for case in known) else "")
                # Before the case: where the name cannot be kept, nothing is added.
                remember_name(name, local_name or f"{patient.strip()} {shown}".strip())
            with write_errors(self.folder, "Cannot add the case to the cohort"):
                scratch = Path(tempfile.mkdtemp(prefix=".adding-", dir=self.folder))
                try:
                    hashes = _write_case(scratch / "anat", name, study, segmentation, preparation)
                    place = self.folder.joinpath(*name.split("_"))
                    place.parent.mkdir(exist_ok=True)
                    os.replace(scratch, place)
                    details = {
                        "case": name,
                        "patient": hashed,
                        "digests": hashes,
                        "fingerprints": fingerprints,
                        "perceptual_hashes": perceptual_hashes,
                        "outline": outline_hash(segmentation),
                        "edited": edited,
                        "warnings": list(study.warnings),
                    }
                    entry = self.log.append("add", user=user, **details)
                except BaseException:
                    shutil.rmtree(scratch, ignore_errors=True)
                    raise
        return Case.from_entry(self.folder, entry)

    def remove(self, name: str, *, user: str = "", reason: str) -> Path:
        """Move a case to the trash, and return its folder there (InputError without a reason, or without the case)."""
        if not reason.strip():
            raise InputError("Removing a case needs a reason", remedy="Give a reason for the log", source=name)
        with self._locked():
            folder = self.case(name).folder.parent
            self.log.append("remove", user=user, case=name, reason=reason)  # first: a folder that it lacks is trash
            return self._move_to_trash(folder, name) if folder.exists() else folder

    def check(self) -> list[str]:
        """Return the problems of the cohort as sentences; empty if there are none. Needs no permission to write.

        Checks the log's chain of hashes, every file's SHA-256, every segmentation's grid and integers, and that every
        case folder is in the log.
        """
        try:
            cases = self.cases()
        except InputError as error:
            return [str(error)]
        problems = []
        for case in cases:
            problems += damage_of(case)
            try:
                read_segmentation(case.labels)
            except MagpieError as error:
                problems.append(str(error))
        for folder in self._unassigned(cases):
            problems.append(f"{folder}: The folder is not in the log; an interrupted addition may have left it.")
        return problems

    def unlisted(self) -> list[str]:
        """Return a sentence for the case folders that are not in the log, and so are no cases; empty without any."""
        folders = [path.relative_to(self.folder).as_posix() for path in self._unassigned(self.cases())]
        if not folders:
            return []
        return [
            f"Not used, since they are not in the log of the cohort: {', '.join(folders)}. An interrupted addition "
            "left them, or they were copied by hand: import the cohort that they are from (magpie cohort import)."
        ]

    def folds(self, number: int, *, kept: Mapping[str, int] = _NO_FOLDS) -> list[list[Case]]:
        """Split the cases into folds by patient; see `split_folds`."""
        return split_folds(self.cases(), number, kept=kept, source=str(self.folder))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the cohort for a change, and move to the trash what a killed process left."""
        with locked_folder(self.folder, "Another process is changing the cohort", timeout_s=600):
            for folder in self._unassigned(self.cases()):
                self._move_to_trash(folder, folder.name.lstrip("."))
            yield

    def _unassigned(self, cases: list[Case]) -> list[Path]:
        """Return case folders that are not in the log, and scratch folders that interrupted additions left."""
        known = {case.folder.parent for case in cases}
        found = [path for path in self.folder.glob("sub-*/ses-*") if path not in known]
        return sorted([*found, *self.folder.glob(".adding-*")])

    def _move_to_trash(self, source: Path, name: str) -> Path:
        trash = self.folder / TRASH_FOLDERS[0]
        with write_errors(trash, "Cannot move the case to the trash"):
            trash.mkdir(exist_ok=True)
            target = next(place for number in count(1) if not (place := trash / f"{name}_{number}").exists())
            os.replace(source, target)
        return target

    def accept_edit(self, name: str, *, user: str = "", reason: str) -> Case:
        """Take the segmentation of a case as it is now, after it was edited in place; the log keeps both digests.

        Raises:
            InputError: If no reason is given, there is no such case or no edit in it, another file was changed, or the
                segmentation cannot be read or does not fit the images.
        """
        if not reason.strip():
            raise InputError("Accepting an edit needs a reason", remedy="Give a reason for the log", source=name)
        with self._locked():
            case = self.case(name)
            if others := [problem for problem in damage_of(case) if f"{name}_dseg." not in problem]:
                raise InputError(
                    "Only an edited segmentation can be accepted",
                    cause=" ".join(others),
                    remedy="Restore these files from a backup, or remove the case and add it again",
                    source=name,
                )
            edited = read_segmentation(case.labels)
            check_segmentation(read_study(case.images, name=name), edited)
            after = {file: file_hash(case.folder / file) for file in case.digests}
            changed = [file for file in after if after[file] != case.digests[file]]
            if not changed:
                raise InputError("The segmentation was not edited", source=name)
            before, after = ({file: digests[file] for file in changed} for digests in (case.digests, after))
            details = {"case": name, "reason": reason, "before": before, "after": after}
            self.log.append("accept-edit", user=user, **details, outline=outline_hash(edited))
            return self.case(name)


def _write_case(
    folder: Path, name: str, study: Study, segmentation: Segmentation, preparation: PreparedStudy | None
) -> dict[str, str]:
    """Write all files of a case; return the SHA-256 of each by its name."""
    folder.mkdir(parents=True)
    for modality, volume in study.volumes.items():
        write_volume(volume, folder / f"{name}_{BIDS_NAMES[modality]}.nii.gz")
    write_segmentation(segmentation, folder / f"{name}_dseg.nii.gz")
    if preparation is not None:
        brain = folder / f"{name}_desc-brain_mask.nii.gz"
        write_preparation(preparation, folder / PREPARATION.format(name=name), brain)
    return {path.name: file_hash(path) for path in sorted(folder.iterdir())}


def _next_visit(known: list[Case], patient: str) -> str:
    taken = {case.name.split("_ses-")[1] for case in known if case.patient == patient}
    return next(visit for number in count(1) if (visit := f"{number:02d}") not in taken)
