"""Commands killed at random moments: nothing is lost, nothing is half, and the next command works.

`MAGPIE_KILLS=100` kills so often; the seed of the moments is `MAGPIE_KILL_SEED`.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from kills import Killer, Site, killed

from magpie_core.cohort.cohort import Cohort
from magpie_core.imaging.label_schema import label_schema
from magpie_core.imaging.segmentation import Segmentation
from magpie_core.io.nifti import write_volume
from magpie_core.io.segmentation_file import write_segmentation
from magpie_core.models.versions import VersionStore

KILLS = int(os.environ.get("MAGPIE_KILLS", "10"))
SEED = int(os.environ.get("MAGPIE_KILL_SEED", "0"))
KINDS = ("add", "finetune", "import", "promote", "rollback", "remove", "accept-edit", "install", "use-default")


@pytest.fixture
def site(tmp_path, models_folder, make_study, monkeypatch):
    """A site with a cohort of three cases and two versions."""
    monkeypatch.setenv("MAGPIE_SITE", str(tmp_path / "site"))
    killer = Killer(tmp_path, models_folder, SEED)
    site = Site(tmp_path, killer, tmp_path / "cohort")
    killer.run("create", ["cohort", "create", site.cohort])
    for patient in (1, 2, 3):
        killer.run("add", _add(site, _study(tmp_path, make_study, patient), patient))
    for name in ("first", "second"):
        killer.run("install", ["models", "install", models_folder / "magpie-s", "--name", name])
        killer.run("promote", ["models", "promote", name, "--reason", "better"])
    site.holds()
    yield site
    killer.close()


def _study(folder: Path, make_study, patient: int) -> Path:
    """Write a study of a patient, with labels."""
    study = make_study(patient=patient)
    folder = folder / f"patient{patient}"
    folder.mkdir(parents=True)
    for modality, volume in study.volumes.items():
        write_volume(volume, folder / f"{modality.value.lower()}.nii.gz")
    volume = study.volumes[study.reference]
    labels = np.zeros(volume.shape, np.uint8)
    i, j, k = np.random.default_rng(patient).integers(6, 14, 3)
    labels[i : i + 5, j : j + 6, k - 3 : k + 2] = 3
    write_segmentation(Segmentation(labels, volume.affine, label_schema("magpie")), folder / "seg.nii.gz")
    return folder


def _add(site: Site, study: Path, patient: int) -> list[object]:
    return ["cohort", "add", site.cohort, study, study / "seg.nii.gz", "--patient", patient]


def _switch(site: Site, kind: str, kills: int) -> None:
    """Change which version is in use; a command that was done before it was killed is not done twice."""
    store = VersionStore(site.folder / "site")
    before = store.active_name
    if kind == "promote":
        name = "first" if before == "second" else "second"
        killed(site, kind, ["models", "promote", name, "--reason", "better"], kills=kills)
        assert store.active_name == name
        return
    site.killer.run("promote", ["models", "promote", "first" if before == "second" else "second", "--reason", "better"])
    after, words = (before, ["models", "rollback"]) if kind == "rollback" else (None, ["models", "use-default"])
    for _ in range(kills):
        current = store.active_name
        site.killer.kill(kind, words)
        site.holds()
        assert store.active_name in (current, after)
        if store.active_name == after:
            break
    if store.active_name != after:
        site.killer.run(kind, words)
    assert store.active_name == after
    site.killer.run("promote", ["models", "promote", "first", "--reason", "better"])
    site.is_clean()


def _do(site: Site, kind: str, number: int, *, kills: int, make_study, models: Path) -> None:
    """Do something of a kind, killed so many times on the way, and check that it is done."""
    patients = 10 * (number + 1)
    if kind == "add":
        count = len(site.cases)
        killed(
            site,
            kind,
            _add(site, _study(site.folder / "new", make_study, patients), patients),
            kills=kills,
            expected=(0, 3),
        )
        assert len(site.cases) == count + 1
    elif kind == "import":
        count, source = len(site.cases), site.folder / f"data{number}"
        for patient in (patients + 1, patients + 2):
            _study(source, make_study, patient)
        killed(site, kind, ["cohort", "import", site.cohort, source], kills=kills, expected=(0, 3))
        assert len(site.cases) == count + 2
    elif kind == "finetune":
        _finetune(site, number, kills)
    elif kind == "remove":
        name = Cohort(site.cohort).cases()[-1].name
        site.leaving.add(name)
        killed(site, kind, ["cohort", "remove", site.cohort, name, "--reason", "a test"], kills=kills, expected=(0, 3))
        assert name not in site.cases
    elif kind == "accept-edit":
        _accept_edit(site, kills)
    elif kind == "install":
        name = f"installed-{number}"
        killed(site, kind, ["models", "install", models, "--name", name], kills=kills, expected=(0, 4))
        assert name in site.versions
    else:
        _switch(site, kind, kills)


def _finetune(site: Site, number: int, kills: int) -> None:
    store, run = VersionStore(site.folder / "site"), site.folder / f"run{number}"
    few = site.folder / "few"
    if not few.exists():  # three cases, however many are added to the other
        shutil.copytree(site.cohort, few)
    words = ["finetune", "--cohort", few, "-o", run, "--name", f"tuned-{number}", "--model", "magpie-s", "--promote"]
    words += ["--steps", 1, "--folds", 2, "--synthetic-studies", 0, "--threads", 1]
    killed(site, "finetune", words, kills=kills)
    assert f"tuned-{number}" in site.versions and store.active is not None
    assert not list(run.rglob("*.safetensors")) and not list(run.rglob("*.pt"))


def _accept_edit(site: Site, kills: int) -> None:
    from magpie_core.io.segmentation_file import read_segmentation

    case = Cohort(site.cohort).cases()[0]
    before = read_segmentation(case.labels)
    labels = before.labels.copy()
    labels[tuple(np.argwhere(labels)[0])] = 0
    write_segmentation(Segmentation(labels, before.affine, before.schema), case.labels)
    words = ["cohort", "accept-edit", site.cohort, case.name, "--reason", "border"]
    for _ in range(kills):
        site.killer.kill("accept-edit", words)
    site.killer.run("accept-edit", words, expected=(0, 3))  # 3: it was accepted before the kill
    site.holds()


def test_killed_commands_lose_nothing_and_leave_nothing_half(site, make_study, models_folder):
    numbers = itertools.count()
    do = functools.partial(_do, site, make_study=make_study, models=models_folder / "magpie-s")
    for place, kind in enumerate(KINDS):
        wanted = site.killer.kills + KILLS // len(KINDS) + (place < KILLS % len(KINDS))
        for _ in range(3 * KILLS):  # some commands end before they are killed
            if site.killer.kills >= wanted:
                break
            # A fine-tuning takes longest and is killed several times on its way.
            do(kind, next(numbers), kills=min(4, wanted - site.killer.kills) if kind == "finetune" else 1)
    assert site.killer.kills >= KILLS
