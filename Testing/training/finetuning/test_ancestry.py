"""What a model saw, and which weights never saw a case."""

import shutil
from dataclasses import replace

import pytest

from magpie_core.cohort.seen import Seen
from magpie_core.models.model import load_model, save_model
from magpie_core.models.versions import VersionStore
from magpie_core.training.finetuning.ancestry import Lineage, lineage_of, seen_by


@pytest.fixture
def cases(make_study, tmp_path):
    """Six cases of five patients; the last two are visits of one."""
    import numpy as np

    from magpie_core.cohort.cohort import Cohort
    from magpie_core.imaging.label_schema import label_schema
    from magpie_core.imaging.segmentation import Segmentation

    cohort = Cohort.create(tmp_path / "cohort")
    for number, patient in enumerate("abcdee"):
        study = make_study(patient=number, shape=(12, 12, 10))
        labels = np.zeros((12, 12, 10), np.uint8)
        labels[4:7, 4:7, 4:7] = 1
        volume = study.volumes[study.reference]
        cohort.add(study, Segmentation(labels, volume.affine, label_schema("magpie")), patient=patient)
    return cohort.cases()


@pytest.fixture
def model(tiny_model):
    """Makes a model with a training record."""
    loaded = load_model(tiny_model)

    def make(name, **training):
        return replace(loaded, hash=name, description=replace(loaded.description, name=name, training=training))

    return make


def test_seen_holds_a_case_by_its_image_and_by_its_patient(cases):
    seen = Seen.of(cases[4:5])
    assert seen.holds(cases[4]) and seen.holds(cases[5]) and not seen.holds(cases[0])
    assert Seen(images=frozenset(sorted(cases[0].fingerprints)[:1])).holds(cases[0])  # under another patient
    assert Seen.by({"seen": seen.as_dict()}) == seen
    both = Seen.of(cases[:1]) | Seen.of(cases[1:2])
    renamed = [replace(case, patient="another") for case in cases]
    assert [both.holds(case) for case in renamed[:3]] == [True, True, False]
    assert not Seen.by({}).holds(cases[0])


def test_records_of_version_0_5_name_the_patients_of_all_ancestors(cases, model):
    start = model("base", data="synthetic")
    first = model("one", start="base", cases=[cases[0].name])
    second = model("two", start="one", cases=[cases[1].name, cases[4].name])
    find = {one.hash: one for one in (start, first, second)}.get
    seen = seen_by(second, find)
    assert [seen.holds(case) for case in cases] == [True, True, False, False, True, True]
    assert seen_by(second, {}.get) == Seen.by(second.description.training)  # the ancestors are gone


def test_weights_that_never_saw_the_cases_are_found(cases, model):
    base = model("base")
    every = model("all", seen=Seen.of(cases[:4]).as_dict())
    folds = [model("fold0", seen=Seen.of(cases[2:4]).as_dict()), model("fold1", seen=Seen.of(cases[:2]).as_dict())]
    lineage = Lineage(every, folds, [base])
    assert lineage.unseen(cases[4:]) is every  # new patients
    assert lineage.unseen(cases[:2]) is folds[0]
    assert lineage.unseen([cases[2], cases[5]]) is folds[1]
    assert lineage.unseen(cases[1:3]) is None and lineage.start(cases[1:3]) is base
    assert Lineage(every).start(cases[:1]) is None
    assert lineage.start(cases[:1]) is folds[0]
    assert Lineage(every, [], [model("before", seen=Seen.of(cases[:2]).as_dict()), base]).start(cases[:1]) is base


def test_lineage_holds_the_folds_and_all_ancestors_of_a_version(tiny_model, tmp_path):
    site, base = VersionStore(tmp_path / "site"), load_model(tiny_model)

    def add(name, start):
        training = {"start": start.hash, "seed": name}
        folder = tmp_path / name
        description = replace(base.description, name=name, training=training)
        save_model(folder, description, base.network.state_dict(), card="# x")
        return load_model(site.add(name, folder, {}, folds=[tiny_model]).model)

    first = add("one", base)
    second = add("two", first)
    installed = add("three", second).folder
    site.add("copy", installed, {})  # as one that was exported and installed again: without folds
    lineage = lineage_of(load_model(site.version("copy").model), site, [tiny_model])
    assert [ancestor.hash for ancestor in lineage.ancestors] == [second.hash, first.hash, base.hash]
    assert [fold.hash for fold in lineage.folds] == [base.hash]
    shutil.rmtree(site.version("one").model.parent)
    shutil.rmtree(site.version("two").model)  # a folder that is not whole
    lineage = lineage_of(load_model(site.version("copy").model), site, [tiny_model])
    assert lineage.ancestors == [] and len(lineage.folds) == 1
