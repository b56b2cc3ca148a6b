"""`magpie train`: refusals, options, and training with two ranks."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from magpie_core.models.model import load_model, save_model
from magpie_core.training.checkpoints import load_checkpoint
from magpie_core.training.sample import Sample


@pytest.fixture
def buffer(tmp_path):
    """A folder of synthetic samples that no process fills."""
    rng = np.random.default_rng(0)
    (tmp_path / "buffer").mkdir()
    for slot in range(8):
        images = np.zeros((4, 24, 24, 24), np.float32)
        images[:, 4:-4, 4:-4, 4:-4] = rng.standard_normal((4, 16, 16, 16)).clip(-3, 3)
        labels = np.zeros((24, 24, 24), np.uint8)
        labels[8:14, 8:14, 8:14] = 2
        np.save(tmp_path / "buffer" / f"slot_{slot:05d}.npy", Sample.pack(images, labels).packed)
    return tmp_path / "buffer"


def _command(cases, tiny_model, out):
    words = ["train", "cases", "--cases", cases, "--schema", "brats-2022", "--start", tiny_model, "-o", out]
    return [str(word) for word in [*words, "--steps", 2, "--device", "cpu"]]


def test_two_ranks_train_on_cases_and_rank_0_writes(cases, buffer, tiny_model, tmp_path):
    # Without the two hyphens torchrun would take --start for an abbreviation of one of its options.
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--", "magpie_core.cli"]
    environment = {name: value for name, value in os.environ.items() if name != "MAGPIE_ANATOMY"}
    done = subprocess.run(
        [sys.executable, *start, *_command(cases, tiny_model, tmp_path / "run"), "--synthetic-buffer", str(buffer)],
        env=environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("3 training cases") == 1
    assert done.stdout.count("The model is in") == 1
    record = load_model(tmp_path / "run" / "model").description.training
    assert record["steps"] == 2 and record["processes"] == 2
    assert record["cases"] == ["case0", "case1", "case2"]


def test_anatomy_without_a_synthetic_buffer_is_refused(magpie, buffer, tmp_path):
    words = ["train", "pretraining", "--dataset", buffer, "--anatomy", tmp_path, "-o", tmp_path / "run"]
    done = magpie(*words)
    assert done.exit_code == 3 and "--synthetic-buffer FOLDER" in done.stderr and not (tmp_path / "run").exists()


def test_synthetic_buffer_is_used_without_label_maps(magpie, cases, buffer, tiny_model, tmp_path, monkeypatch):
    monkeypatch.delenv("MAGPIE_ANATOMY", raising=False)
    done = magpie(*_command(cases, tiny_model, tmp_path / "run"), "--synthetic-buffer", buffer)
    assert done.exit_code == 0, done.output
    assert load_model(tmp_path / "run" / "model").description.training["processes"] == 1
    filled = magpie(*_command(cases, tiny_model, tmp_path / "other"), "--synthetic-buffer", buffer, "--generators", 1)
    assert filled.exit_code == 3 and "--anatomy" in filled.stderr


def test_freeze_start_trains_the_added_parts_alone(magpie, cases, buffer, tiny_model, tmp_path, monkeypatch):
    tiny = load_model(tiny_model)
    grown = replace(tiny.network.config, experts=replace(tiny.network.config.experts, decoder_blocks=(1,)))
    monkeypatch.setattr("magpie_core.networks.presets.PRESETS", {"grown": grown, "same": tiny.network.config})
    words = [
        *_command(cases, tiny_model, tmp_path / "run"),
        "--synthetic-buffer",
        buffer,
        "--freeze-start",
        "--network",
    ]
    done = magpie(*words, "grown")
    assert done.exit_code == 0, done.output
    before, after = tiny.network.state_dict(), load_model(tmp_path / "run" / "model").network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    new = [name for name in after if name not in before]
    assert new and any(after[name].abs().max() > 0 for name in new if name.endswith("compress"))
    refused = magpie(*words[:-1], "--network", "same")
    assert refused.exit_code == 3 and "leaves nothing to train" in refused.stderr


def test_expert_overlap_loss_can_be_switched_off(magpie, cases, buffer, tiny_model, tmp_path):
    lines = {}
    for words in ((), ("--no-expert-overlap-loss", "--no-faint-lesions")):
        run = tmp_path / f"run{len(words)}"
        done = magpie(*_command(cases, tiny_model, run), "--synthetic-buffer", buffer, *words)
        assert done.exit_code == 0, done.output
        lines[words] = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    with_loss, without_loss = lines.values()
    assert 0 <= with_loss["expert_overlap"] <= 1 and "expert_overlap" not in without_loss
    record = load_model(tmp_path / "run2" / "model").description.training
    assert record["faint_lesions"] is record["expert_overlap_loss"] is False


@pytest.mark.parametrize("command", ["cases", "synthetic"])
def test_batch_size_is_used_and_recorded(command, magpie, cases, buffer, tiny_model, tmp_path):
    losses = []
    for batch_size in (1, 2):
        run = tmp_path / f"run{batch_size}"
        words = [*_command(cases, tiny_model, run), "--synthetic-buffer", str(buffer)]
        if command == "synthetic":
            shutil.copytree(buffer, run / "synthetic")
            words = ["train", command, "--anatomy", str(tmp_path), "--generators", "0", "-o", str(run)]
            words += ["--start", str(tiny_model), "--steps", "2", "--device", "cpu"]
        assert magpie(*words, "--batch-size", 0).exit_code == 2
        done = magpie(*words, "--batch-size", batch_size)
        assert done.exit_code == 0, done.output
        assert load_model(run / "model").description.training["batch_size"] == batch_size
        losses.append(json.loads((run / "log.jsonl").read_text())["loss"])
    assert losses[0] != losses[1]


def test_precision_is_that_of_the_option(magpie, cases, buffer, tiny_model, tmp_path):
    words = [*_command(cases, tiny_model, tmp_path / "run"), "--synthetic-buffer", buffer]
    refused = magpie(*words, "--precision", "half")
    assert refused.exit_code != 0 and "bf16" in refused.stderr and not (tmp_path / "run").exists()
    assert magpie(*words, "--precision", "fp32").exit_code == 0
    state = load_checkpoint(tmp_path / "run")
    assert state is not None and state["options"]["precision"] == "fp32"


@pytest.fixture
def coarse_model(tiny_model, tmp_path):
    """The tiny model for voxels of 1.5 mm, with a license of its own."""
    tiny = load_model(tiny_model)
    description = replace(tiny.description, name="ours", spacing_mm=1.5, license="CC-BY-NC-SA-4.0")
    save_model(tmp_path / "coarse", description, tiny.network.state_dict(), card="# ours")
    return tmp_path / "coarse"


def test_run_is_resumed_with_the_same_settings_and_ends_once(magpie, cases, buffer, tiny_model, tmp_path):
    words = [*_command(cases, tiny_model, tmp_path / "run"), "--synthetic-buffer", buffer, "--folds", 3, "--fold"]
    assert magpie(*words, 0).exit_code == 0
    shutil.rmtree(tmp_path / "run" / "model")  # as if it had been interrupted
    other = magpie(*words, 1)
    assert other.exit_code == 3 and "other settings: held_out, cases" in other.stderr
    for option, value in (("--seed", 3), ("--steps", 4), ("--learning-rate", 0.1), ("--interpolate-start", 0.5)):
        other = magpie(*words, 0, option, value)
        assert other.exit_code == 3 and "other settings: " in other.stderr and f"now {value}" in other.stderr
    assert magpie(*words, 0).exit_code == 0
    record = load_model(tmp_path / "run" / "model").description.training
    assert record["steps"] == 2 and len(record["held_out"]) == 1
    again = magpie(*words, 0, "--steps", 4)
    assert again.exit_code == 3 and "is complete" in again.stderr


def test_model_trained_further_keeps_its_name_license_and_voxel_size(magpie, buffer, coarse_model, tmp_path):
    (buffer / "buffer.json").write_text('{"spacing_mm": 3.0}')
    shutil.copytree(buffer, tmp_path / "run" / "synthetic")
    words = ["train", "synthetic", "--anatomy", tmp_path, "--generators", 0, "-o", tmp_path / "run"]
    words += ["--start", coarse_model, "--steps", 1, "--device", "cpu"]
    refused = magpie(*words, "--network", "magpie-s")
    assert refused.exit_code == 3 and "--start" in refused.stderr
    done = magpie(*words)
    assert done.exit_code == 0, done.output
    made = load_model(tmp_path / "run" / "model").description
    assert (made.name, made.license, made.spacing_mm) == ("ours", "CC-BY-NC-SA-4.0", 1.5)
    assert made.training["data"].startswith("synthetic studies after ours")


def test_synthetic_studies_of_another_voxel_size_are_refused(magpie, cases, buffer, coarse_model, tmp_path):
    done = magpie(*_command(cases, coarse_model, tmp_path / "run"), "--synthetic-buffer", buffer)
    assert done.exit_code == 3 and "voxels of 2 mm" in done.stderr


@pytest.mark.parametrize("wrong", [("--minutes", 0), ("--steps", 0), ("--seed", -1), ("--threads", -1), ("--fold", -2)])
def test_impossible_numbers_are_refused(magpie, cases, tiny_model, tmp_path, wrong):
    done = magpie(*_command(cases, tiny_model, tmp_path / "run"), *wrong)
    assert done.exit_code == 2 and wrong[0] in done.stderr and not (tmp_path / "run").exists()
