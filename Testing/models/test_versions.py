"""VersionStore: immutable versions, promotion with a reason, rollback."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from magpie_core.errors import ModelError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES
from magpie_core.models.description import WEIGHTS_NAME
from magpie_core.models.model import load_model
from magpie_core.models.versions import VersionStore
from magpie_core.storage.manifest import MANIFEST_NAME, file_hash


@pytest.fixture
def store(tmp_path):
    return VersionStore(tmp_path / "store")


def test_add_stores_the_model_with_its_record_and_evidence(store, tiny_model, tmp_path):
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "case.txt").write_text("prediction")
    version = store.add("site-1", tiny_model, {"cases": ["a", "b"]}, evidence=tmp_path / "evidence", user="me")
    assert store.version("site-1") == version and store.active is None
    assert version.record() == {"cases": ["a", "b"]}
    assert (version.evidence / "case.txt").read_text() == "prediction"
    assert load_model(version.model).hash == load_model(tiny_model).hash


def test_rollback_restores_the_predictions_bit_for_bit(store, tiny_model):
    images = torch.randn(1, 4, 8, 8, 8)
    names = GLIOMA_MODALITY_NAMES
    for name in ("one", "two"):
        store.add(name, tiny_model, {})
    store.promote("one", reason="better")
    before = load_model(store.active.model).network(images, names).logits
    store.promote("two", reason="better still")
    assert store.active.name == "two"
    assert store.rollback().name == "one"
    assert torch.equal(load_model(store.active.model).network(images, names).logits, before)
    assert store.rollback() is None and store.active is None
    with pytest.raises(ModelError, match="Cannot roll back"):
        store.rollback()
    assert [entry.event for entry in store.log.entries()] == ["add"] * 2 + ["promote"] * 2 + ["rollback"] * 2


def test_add_rejects_an_existing_and_an_invalid_name(store, tiny_model):
    store.add("one", tiny_model, {})
    with pytest.raises(ModelError, match="already"):
        store.add("one", tiny_model, {})
    for name in ("", "../one", ".hidden", "a b"):
        with pytest.raises(ModelError, match="Invalid name"):
            store.add(name, tiny_model, {})


def test_changed_model_is_neither_added_nor_promoted_nor_rolled_back_to(store, tiny_model):
    first = store.add("one", tiny_model, {})
    store.add("two", tiny_model, {})
    store.promote("one", reason="better")
    store.promote("two", reason="better")
    weights = first.model / WEIGHTS_NAME
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="does not match its manifest"):
        store.add("three", first.model, {})
    with pytest.raises(ModelError, match="does not match its manifest"):
        store.promote("one", reason="again")
    with pytest.raises(ModelError, match="does not match its manifest"):
        store.rollback()
    assert store.active.name == "two"


def test_record_detects_changed_evidence(store, tiny_model):
    version = store.add("one", tiny_model, {"dice": 0.7})
    path = version.evidence / "record.json"
    path.write_text(path.read_text().replace("0.7", "0.9"))
    with pytest.raises(ModelError, match=r"record\.json"):
        version.record()


def test_promote_needs_a_reason_and_an_existing_version(store, tiny_model):
    store.add("one", tiny_model, {})
    with pytest.raises(ModelError, match="reason"):
        store.promote("one", reason=" ")
    with pytest.raises(ModelError, match="There are: one"):
        store.promote("two", reason="better")
    (store.folder / "active.json").write_text("{")
    with pytest.raises(ModelError, match="which version is active"):
        _ = store.active
    store.promote("one", reason="the record was damaged")
    assert store.active == store.version("one") and store.rollback() is None


PROGRAM = textwrap.dedent(
    """
    import itertools, sys
    from pathlib import Path
    from magpie_core.models.versions import VersionStore
    store = VersionStore(Path(sys.argv[1]))
    for number in itertools.count():
        name = f"{sys.argv[3]}-{number}"
        store.add(name, Path(sys.argv[2]), {"number": number})
        store.promote(name, reason="better")
    """
)


def test_killed_promotion_leaves_the_old_or_the_new_version_active(store, tiny_model):
    for attempt in range(10):
        arguments = [str(store.folder), str(tiny_model), f"run{attempt}"]
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments])
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not any(
            version.name.startswith(f"run{attempt}-") for version in store.versions()
        ):
            time.sleep(0.005)
        time.sleep(0.007 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if store.active is not None:
            load_model(store.active.model)
        for version in store.versions():
            load_model(version.model)
            version.record()
        store.log.entries()
    store.add("last", tiny_model, {})
    assert store.promote("last", reason="better") == store.active


def test_version_has_no_name_of_an_installed_model(tmp_path, tiny_model):
    store = VersionStore(tmp_path / "store", reserved=lambda: ["magpie-s"])
    for name in ("magpie-s", "Magpie-S"):
        with pytest.raises(ModelError, match="installed model has this name"):
            store.add(name, tiny_model, {})
    older = VersionStore(store.folder)  # as 0.5.0 added it
    older.add("magpie-s", tiny_model, {})
    assert store.shadowed() == ["magpie-s"] and store.active is None


def test_names_differ_by_more_than_case_and_suit_every_system(store, tiny_model):
    store.add("Ours", tiny_model, {})
    with pytest.raises(ModelError, match="exists already"):
        store.add("ours", tiny_model, {})
    for name in ("con", "NUL.1", "ends-with.", "x" * 65, "Köln", "a/b", "a\n"):
        with pytest.raises(ModelError, match="Invalid name"):
            store.add(name, tiny_model, {})


def test_free_name_is_of_no_version_that_is_or_was(store, tiny_model):
    assert store.free_name() == "site-1"
    store.add("site-2", tiny_model, {})
    assert store.free_name() == "site-1"
    store.add("site-1", tiny_model, {})
    shutil.rmtree(store.version("site-2").model.parent)
    assert store.free_name() == "site-3"


def test_versions_are_in_the_order_in_which_they_were_added(store, tiny_model):
    """Whatever the clock was, and whatever a backup made of the times of the folders."""
    for age_s, name in enumerate(("c", "a", "b")):
        folder = store.add(name, tiny_model, {}).model.parent
        os.utime(folder, (1e9 - age_s, 1e9 - age_s))
    assert [version.name for version in store.versions()] == ["c", "a", "b"]
    store.log.path.unlink()
    assert [version.name for version in store.versions()] == ["b", "a", "c"]


def test_the_version_with_its_folds_is_found_by_its_model(store, tiny_model):
    store.add("installed", tiny_model, {})
    model_hash = file_hash(tiny_model / MANIFEST_NAME)
    assert store.with_model(model_hash).name == "installed" and store.with_model("other") is None
    store.add("own", tiny_model, {}, folds=[tiny_model])
    assert store.with_model(model_hash).name == "own"


def test_way_back_from_a_version_that_is_gone(store, tiny_model):
    for name in ("one", "two"):
        store.add(name, tiny_model, {})
        store.promote(name, reason="better")
    shutil.rmtree(store.folder / "versions" / "two")
    with pytest.raises(ModelError, match="two, is missing.*rollback.*use-default"):
        _ = store.active
    assert store.active_name == "two" and store.can_roll_back
    assert store.rollback().name == "one" and store.active.name == "one"
    store.promote("one", reason="the same")  # pushes nothing: a rollback leads away from it
    store.use_default(reason="to compare")
    assert store.active is None and store.rollback().name == "one" and store.rollback() is None


def test_rollback_to_a_version_that_is_gone_says_so_and_changes_nothing(store, tiny_model):
    for name in ("one", "two"):
        store.add(name, tiny_model, {})
        store.promote(name, reason="better")
    for folder in ("one", "two"):
        shutil.rmtree(store.folder / "versions" / folder)
    with pytest.raises(ModelError, match="Cannot roll back to one.*use-default"):
        store.rollback()
    assert store.active_name == "two"
    store.use_default(reason="both are gone")
    assert store.active is None


def test_default_model_is_used_again_if_the_record_is_damaged(store, tiny_model):
    store.add("one", tiny_model, {})
    (store.folder / "active.json").write_text("[]")
    with pytest.raises(ModelError, match="use-default"):
        _ = store.active
    store.use_default(reason="damaged")
    assert store.active is None


def test_what_a_killed_process_left_is_logged_and_cleared_by_the_next_change(store, tiny_model):
    store.add("one", tiny_model, {})
    log = store.log.path.read_bytes()
    store.add("two", tiny_model, {})
    store.promote("two", reason="better")
    store.log.path.write_bytes(log)  # killed before the log was written
    (store.folder / "versions" / ".magpie-123").mkdir()
    (store.folder / ".active.json-123.part").write_text("")
    store.promote("one", reason="older")
    events = [(entry.event, entry.details["version"]) for entry in store.log.entries()]
    assert events == [("add", "one"), ("add", "two"), ("promote", "two"), ("promote", "one")]
    assert not list(store.folder.glob("**/.*-123*"))
