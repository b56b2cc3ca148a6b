"""Everything for which a fine-tuning can be refused, checked before its first step and before anything is made."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from magpie_core.cohort.case import Case
from magpie_core.cohort.cohort import Cohort
from magpie_core.cohort.seen import Seen
from magpie_core.errors import InputError, ModelError, ResourceError
from magpie_core.models.model import Model
from magpie_core.models.versions import Version, VersionStore
from magpie_core.networks.config import NetworkConfig
from magpie_core.storage.atomic import refuse_file, write_errors
from magpie_core.storage.config import to_plain
from magpie_core.storage.manifest import MANIFEST_NAME, file_hash
from magpie_core.storage.site import site_folder
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.training.finetuning.ancestry import Lineage, seen_by
from magpie_core.training.finetuning.options import FinetuneOptions
from magpie_core.training.loop_options import check_device, settings_of
from magpie_core.training.run_folder import NAME as RUN_NAME, finished_model, other_settings

LEAST_CASES = 3
OUTPUTS = ("fold*", "all", "evidence", "version.json")
"""What a fine-tuning leaves in its run folder, and is of no other."""
_NAMES = {"patience_epochs": "patience", "loop": "optimizer and schedule", "synthetic_studies": "synthetic studies"}
_CHECKPOINT_BYTES = 16 * 3  # a parameter: weights, their average, two moments; the last, the previous and a new file
_STUDY_BYTES = 25e6  # of a synthetic study at 1 mm; at 2 mm an eighth
_OTHER_BYTES = 200e6  # the prepared study at hand, logs
_CASE_BYTES = 2e6  # predictions of a case


def check_places(folder: Path, site: VersionStore, inputs: Mapping[str, Path | None]) -> None:
    """Check that a run folder lies apart from what is read, and that it and the site's versions can be written.

    Args:
        inputs: Folders that are read, by what they hold.

    Raises:
        InputError: If the run folder is a file, or lies in one of the folders or around it.
        ResourceError: If one cannot be written.
    """
    with write_errors(folder, "Cannot use the run folder"):
        refuse_file(folder)
        for what, place in inputs.items():
            if place is not None and place.exists() and (_lies_in(folder, place) or _lies_in(place, folder)):
                raise InputError(
                    f"The run folder and the folder of the {what} lie in each other",
                    cause=f"the {what}: {place}",
                    remedy="Choose a run folder elsewhere, with -o",
                    source=str(folder),
                )
    versions = site.folder / "versions"
    if versions.exists() and _lies_in(folder, versions):
        raise InputError("The run folder lies among the site's versions", remedy="Choose another", source=str(folder))
    for place in (folder, site.folder):
        with write_errors(place, "Cannot write to the folder"), tempfile.TemporaryDirectory(dir=_existing(place)):
            pass


def check_apart(cohort: Cohort, apart: Cohort | None) -> tuple[Case, ...]:
    """Return the unchanged cases of the forgetting test set (InputError if it is empty, the cohort, or was changed)."""
    if apart is None:
        return ()
    cases = tuple(apart.verified_cases())
    if not cases or apart.folder.samefile(cohort.folder):
        raise InputError(
            "The forgetting test set cannot be used",
            cause="it has no cases" if not cases else "it is the cohort itself",
            remedy="Choose a cohort of other patients, or leave --forgetting-test-set out",
            source=str(apart.folder),
        )
    return cases


def check_plan(
    folds: list[list[Case]],
    lineage: Lineage,
    folder: Path,
    options: FinetuneOptions,
    anatomy: Path | None,
    forgetting_test_set: Sequence[Case] = (),
) -> None:
    """Check that the cases, the starting model and the options go together, and that the disk has space.

    Raises:
        InputError: If there are fewer than 3 cases, a case has no modality that the model knows, a patient or image of
            the forgetting test set is among the cases or was trained on before, early stopping has fewer than 3 folds,
            the device cannot train in the precision, or folds are to be combined and one has no weights to start from.
        ModelError: If the starting model cannot be combined as the options say.
        ResourceError: If there are no label maps, or there is not enough free space.
    """
    cases = [case for fold in folds for case in fold]
    if len(cases) < LEAST_CASES:
        raise InputError(
            f"At least {LEAST_CASES} corrected cases are needed",
            cause=f"there are {len(cases)}",
            remedy="Correct more cases; about 20 are worth the wait",
        )
    check_device(options.loop, options.device)
    if options.patience_epochs and len(folds) < 3:
        raise InputError(
            "Early stopping needs three folds",
            cause="one for training, one for validation, one for testing",
            remedy="Add cases of other patients, use more folds, or turn early stopping off",
        )
    start = lineage.current
    seen = Seen.of(cases) | seen_by(start, lineage.find)
    both = [case.name for case in forgetting_test_set if seen.holds(case)]
    if both:
        raise InputError(
            "The forgetting test set is not apart from what the model is trained on",
            cause="a patient or an image of these cases is in the cohort, or the model was trained on it before",
            remedy="Remove them from one of the cohorts: magpie cohort remove",
            source=", ".join(both),
        )
    if options.combine != "retrain" and any(lineage.start(fold) is None for fold in folds):
        raise InputError(
            "The folds cannot be combined",
            cause="the model in use was trained on the cases of a fold, and no weights that never saw them are kept",
            remedy="Leave --combine out, or name another model to start from with --model",
            source=start.name,
        )
    config = start.network.config
    for case in (*cases, *forgetting_test_set):
        if not {modality.value for modality in case.images} & set(config.modalities):
            raise InputError(
                "Cannot train or test this model on the case",
                cause=f"it has none of the modalities that the model knows: {', '.join(config.modalities)}",
                remedy="Leave the case out",
                source=case.name,
            )
    if options.combine == "ensemble" and not isinstance(config, NetworkConfig):
        raise ModelError(
            "Cannot make an ensemble of these models",
            cause="the starting model consists of several networks itself",
            remedy="Use --combine average",
        )
    if options.synthetic_studies:
        Anatomy.find(anatomy)
    _check_space(folder, start, len(folds), len(cases), options)


def version_of(folder: Path, site: VersionStore) -> Version | None:
    """Return the version of the site that the run in a folder has become; None if there is none."""
    manifest = folder / "all" / "candidate" / MANIFEST_NAME
    return site.with_model(file_hash(manifest) if manifest.is_file() else finished_model(folder))


def is_finished(
    version: Version,
    folder: Path,
    start: Model,
    folds: list[list[Case]],
    options: FinetuneOptions,
    anatomy: Path | None,
    *,
    restart: bool,
) -> bool:
    """Whether the run that has become a version was started with the same settings; false if it is to be removed.

    Raises:
        InputError: If it was started with others, and is not to be removed.
    """
    before = json.loads((folder / RUN_NAME).read_bytes())["starting model"]
    own = file_hash(version.model / MANIFEST_NAME)
    settings = run_settings(
        before if start.hash == own else start.hash, folds, options, anatomy
    )  # it may be in use now
    return not other_settings(folder, settings, outputs=OUTPUTS, restart=restart)


def run_settings(start: str, folds: list[list[Case]], options: FinetuneOptions, anatomy: Path | None) -> dict[str, Any]:
    """Return what a run is known by: the starting model, the cases, and every option that decides the weights."""
    if options.steps or options.epochs:
        options = replace(options, minutes=90.0)  # does not count
    plain: dict[str, Any] = to_plain(options)
    plain["loop"] = settings_of(options.loop)
    del plain["device"]  # a training may go on elsewhere
    return {
        "starting model": start,
        "cases": [{case.name: dict(case.digests) for case in fold} for fold in folds],
        **{_NAMES.get(name, name): value for name, value in plain.items()},
        "anatomy": _digest_of(anatomy) if options.synthetic_studies and anatomy is not None else None,
    }


def _digest_of(folder: Path) -> str:
    """Return a digest of the names and sizes of the label maps in a folder."""
    files = [(path.name, path.stat().st_size) for path in Anatomy.find(folder).maps]
    return hashlib.sha256(repr(files).encode()).hexdigest()


def _check_space(folder: Path, start: Model, folds: int, cases: int, options: FinetuneOptions) -> None:
    """Check the disks of the run folder and of the site's, where the version and the synthetic studies go."""
    parameters = sum(weights.numel() for weights in start.network.parameters())
    spacing_mm = start.description.spacing_mm * start.network.config.backbone_stride
    kept = parameters * 2 * (folds + 1) + cases * 2 * _CASE_BYTES  # models of each fold and of all, predictions
    needed = {
        folder: parameters * _CHECKPOINT_BYTES + kept + _OTHER_BYTES,
        site_folder(): kept + options.synthetic_studies * _STUDY_BYTES / spacing_mm**3,
    }
    disks = {place: _existing(place).stat().st_dev for place in needed}
    for place, disk in disks.items():
        size = sum(needed[other] for other in disks if disks[other] == disk)
        free = shutil.disk_usage(_existing(place)).free
        if free < size:
            raise ResourceError(
                "There is not enough free space for the run",
                cause=f"it needs about {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
                remedy="Free some space"
                + (", or choose a run folder on another disk, with -o" if place == folder else ""),
                source=str(place),
            )


def _existing(place: Path) -> Path:
    """Return the nearest folder above a place that exists; the place itself if it does."""
    return next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())


def _lies_in(inner: Path, outer: Path) -> bool:
    """Whether a place is a folder or lies in it, by whatever name; one that does not exist lies in no other."""
    places = (inner.resolve(), *inner.resolve().parents)
    return outer.exists() and any(os.path.exists(place) and place.samefile(outer) for place in places)
