"""Versions: immutable, promoted for a reason, and always a way back."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from magpie_core.errors import ModelError
from magpie_core.models.description import WEIGHTS_NAME
from magpie_core.models.model import load_model
from magpie_core.models.versions import VersionStore


@pytest.fixture
def store(tmp_path):
    return VersionStore(tmp_path / "store")


def test_a_version_is_kept_with_its_record_and_evidence(store, tiny_model, tmp_path):
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "case.txt").write_text("prediction")
    version = store.add("site-1", tiny_model, {"cases": ["a", "b"]}, evidence=tmp_path / "evidence", who="me")
    assert store.version("site-1") == version and store.active is None
    assert version.record() == {"cases": ["a", "b"]}
    assert (version.evidence / "case.txt").read_text() == "prediction"
    assert load_model(version.model).hash == load_model(tiny_model).hash


def test_promotion_and_rollback_move_a_pointer_and_predictions_come_back_bit_for_bit(store, tiny_model):
    images = torch.randn(1, 4, 8, 8, 8)
    names = ("T1", "T1CE", "T2", "FLAIR")
    for name in ("one", "two"):
        store.add(name, tiny_model, {})
    store.promote("one", reason="better")
    before = load_model(store.active.model).network(images, names).logits
    store.promote("two", reason="better still")
    assert store.active.name == "two"
    assert store.rollback().name == "one"
    assert torch.equal(load_model(store.active.model).network(images, names).logits, before)
    assert store.rollback() is None and store.active is None
    with pytest.raises(ModelError, match="nothing to go back"):
        store.rollback()
    assert [entry.event for entry in store.log.entries()] == ["add"] * 2 + ["promote"] * 2 + ["rollback"] * 2


def test_a_name_is_taken_once_and_must_be_a_plain_one(store, tiny_model):
    store.add("one", tiny_model, {})
    with pytest.raises(ModelError, match="already"):
        store.add("one", tiny_model, {})
    for name in ("", "../one", ".hidden", "a b"):
        with pytest.raises(ModelError, match="called"):
            store.add(name, tiny_model, {})


def test_what_does_not_verify_is_neither_added_nor_promoted_nor_gone_back_to(store, tiny_model):
    first = store.add("one", tiny_model, {})
    store.add("two", tiny_model, {})
    store.promote("one", reason="better")
    store.promote("two", reason="better")
    weights = first.model / WEIGHTS_NAME
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match="verify"):
        store.add("three", first.model, {})
    with pytest.raises(ModelError, match="verify"):
        store.promote("one", reason="again")
    with pytest.raises(ModelError, match="verify"):
        store.rollback()
    assert store.active.name == "two"


def test_changed_evidence_is_found(store, tiny_model):
    version = store.add("one", tiny_model, {"dice": 0.7})
    path = version.evidence / "record.json"
    path.write_text(path.read_text().replace("0.7", "0.9"))
    with pytest.raises(ModelError, match=r"record\.json"):
        version.record()


def test_a_promotion_needs_a_reason_and_a_version(store, tiny_model):
    store.add("one", tiny_model, {})
    with pytest.raises(ModelError, match="reason"):
        store.promote("one", reason=" ")
    with pytest.raises(ModelError, match="There are: one"):
        store.promote("two", reason="better")
    (store.folder / "active.json").write_text("{")
    with pytest.raises(ModelError, match="in use"):
        _ = store.active
    store.promote("one", reason="the record was broken")
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


def test_killing_a_promotion_at_any_moment_leaves_the_old_or_the_new_version_in_use(store, tiny_model):
    for attempt in range(10):
        arguments = [str(store.folder), str(tiny_model), f"run{attempt}"]
        child = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments])
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not any(
            version.name.startswith(f"run{attempt}-") for version in store.versions()
        ):
            time.sleep(0.005)
        time.sleep(0.007 * attempt)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        if store.active is not None:
            load_model(store.active.model)
        for version in store.versions():
            load_model(version.model)
            version.record()
        store.log.entries()
    store.add("last", tiny_model, {})
    assert store.promote("last", reason="better") == store.active
