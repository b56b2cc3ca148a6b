"""The training loop: learning, resuming after a kill, stopping at an unstable loss."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from magpie_core.errors import InputError, ModelError, ResourceError
from magpie_core.networks.config import ExpertsConfig, NetworkConfig
from magpie_core.networks.magpie_net import MagpieNet
from magpie_core.training.callbacks import Evaluation
from magpie_core.training.checkpoints import clear_scratch, load_checkpoint, save_checkpoint
from magpie_core.training.loop import optimize
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.losses import LossOutput, region_loss
from magpie_core.training.patch_sampling import Batch
from magpie_core.training.segmentation_training import SegmentationStep, train

SMALL = NetworkConfig(
    widths=(4, 8),
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
    experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0),
    refinement_channels=4,
    deep_supervision=0,
)


def _bright_cube(progress, rng):
    """A cube that is bright in every modality is all three regions."""
    targets = torch.zeros(1, 3, 16, 16, 16)
    corner = rng.integers(2, 8, 3)
    targets[:, :, corner[0] : corner[0] + 6, corner[1] : corner[1] + 6, corner[2] : corner[2] + 6] = 1
    images = 3 * targets[:, :1].expand(-1, 4, -1, -1, -1) - 1 + 0.1 * torch.randn(1, 4, 16, 16, 16)
    return Batch(images, targets, torch.ones(1, 4, dtype=torch.bool), SMALL.modalities, at_backbone_resolution=False)


def test_training_learns_an_easy_task_and_logs_it(tmp_path):
    torch.manual_seed(0)
    options = LoopOptions(
        budget_steps=150, learning_rate=2e-2, warmup_steps=5, ema_decay=0.9, precision="fp32", log_every=50
    )
    weights = train(MagpieNet(SMALL), _bright_cube, tmp_path, options)
    network = MagpieNet(SMALL)
    network.load_state_dict(weights)
    batch = _bright_cube(0.0, np.random.default_rng(1))
    found = network(batch.images, SMALL.modalities).logits > 0
    assert (found == batch.targets.bool()).float().mean() > 0.97
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [50, 100, 150]
    assert lines[-1]["dice_WT"] > lines[0]["dice_WT"]


class _NeverImproves:
    every_steps, patience = 1, 3

    def score(self, network):
        return 0.5


@pytest.mark.parametrize(("validator", "logged"), [(None, [3, 5]), (_NeverImproves(), [3, 4])])
def test_log_has_the_last_step_once_however_the_training_ends(tmp_path, validator, logged):
    options = LoopOptions(budget_steps=5, precision="fp32", log_every=3)
    for _ in range(2):  # the second is complete already
        train(MagpieNet(SMALL), _bright_cube, tmp_path, options, validator=validator)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == logged
    assert all(line["minutes_left"] >= 0 and line["loss"] > 0 for line in lines)


def test_early_stopping_gives_the_best_weights_and_not_the_last(tmp_path):
    scores, validated = [0.2, 0.6, 0.5, 0.6, 0.1], []

    class Recorded:
        every_steps, patience = 2, 3

        def score(self, network):
            validated.append({name: value.clone() for name, value in network.state_dict().items()})
            return scores[len(validated) - 1]

    options = LoopOptions(budget_steps=100, precision="fp32", warmup_steps=0, ema_decay=0.5)
    weights = train(MagpieNet(SMALL), _bright_cube, tmp_path, options, validator=Recorded())
    assert len(validated) == 5 and load_checkpoint(tmp_path)["step"] == 10
    assert all(torch.equal(weights[name], value) for name, value in validated[1].items())
    assert not all(torch.equal(weights[name], value) for name, value in validated[-1].items())


def _cross_entropy(output, targets, progress, voxel_weights):
    loss = 4 * torch.nn.functional.binary_cross_entropy_with_logits(output.logits, targets)
    return LossOutput(loss, torch.zeros(3))


def test_thirty_steps_learn_a_rare_region_only_with_dice_in_the_loss(tmp_path):
    """27 voxels in 13,824 of one noisy phantom: cross-entropy alone calls all of it background after so few steps."""
    torch.manual_seed(5)
    targets = torch.zeros(1, 3, 24, 24, 24)
    targets[..., 10:13, 9:12, 14:17] = 1
    images = targets[:, :1] + 0.8 * torch.randn(1, 4, 24, 24, 24)
    batch = Batch(images, targets, torch.ones(1, 4, dtype=torch.bool), SMALL.modalities, at_backbone_resolution=False)
    reached = {}
    for name, loss in (("with", region_loss), ("without", _cross_entropy)):
        torch.manual_seed(2)
        options = LoopOptions(budget_steps=30, learning_rate=4e-2, warmup_steps=3, ema_decay=0.0, precision="fp32")
        network = MagpieNet(SMALL)
        step = SegmentationStep(lambda progress, rng: batch, loss, SMALL.regions, "cpu")
        network.load_state_dict(optimize(network, step, tmp_path / name, options))
        found = network.eval()(images, SMALL.modalities).logits > 0
        wanted = targets.bool()
        reached[name] = float(2 * (found & wanted).sum() / (found.sum() + wanted.sum()))
    assert reached["with"] > 0.7 and reached["without"] < 0.2, reached


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_forward_pass_has_the_precision_of_the_options(tmp_path, precision):
    network, lower = MagpieNet(SMALL), []
    network.stem.register_forward_hook(lambda *_: lower.append(torch.is_autocast_enabled("cpu")))
    weights = train(network, _bright_cube, tmp_path, LoopOptions(budget_steps=2, precision=precision))
    assert lower == [precision == "bf16"] * 2
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_training_on_a_gpu_is_resumed_on_a_cpu(tmp_path, cuda_device, precision):
    torch.manual_seed(0)
    options = LoopOptions(
        budget_steps=150, learning_rate=2e-2, warmup_steps=5, ema_decay=0.9, precision=precision, log_every=50
    )
    weights = train(MagpieNet(SMALL), _bright_cube, tmp_path, options, device=cuda_device)
    assert all(value.device.type == "cpu" for value in weights.values())
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["dice_WT"] > max(lines[0]["dice_WT"], 0.8)
    for steps, device, then in ((152, "cpu", "fp32"), (154, cuda_device, precision)):
        resumed = replace(options, budget_steps=steps, precision=then)
        train(MagpieNet(SMALL), _bright_cube, tmp_path, resumed, device=device)
        assert load_checkpoint(tmp_path)["step"] == steps


def test_resumed_optimizer_is_fused_as_suits_the_new_device(tmp_path):
    options = LoopOptions(budget_steps=2, precision="fp32")
    train(MagpieNet(SMALL), _bright_cube, tmp_path, options)
    state = load_checkpoint(tmp_path)
    state["optimizer"]["param_groups"][0]["fused"] = True  # as on a GPU
    save_checkpoint(tmp_path, state)
    train(MagpieNet(SMALL), _bright_cube, tmp_path, replace(options, budget_steps=3))
    state = load_checkpoint(tmp_path)
    assert state["step"] == 3
    assert state["optimizer"]["param_groups"][0]["fused"] is None


def test_resumed_training_uses_the_new_weight_decay_and_betas(tmp_path):
    options = LoopOptions(budget_steps=2, precision="fp32", weight_decay=0.5, betas=(0.5, 0.6))
    train(MagpieNet(SMALL), _bright_cube, tmp_path, options)
    now = replace(options, budget_steps=3, weight_decay=0.01, betas=(0.8, 0.9))
    train(MagpieNet(SMALL), _bright_cube, tmp_path, now)
    (group,) = load_checkpoint(tmp_path)["optimizer"]["param_groups"]
    assert group["weight_decay"] == 0.01 and tuple(group["betas"]) == (0.8, 0.9)


def test_complete_training_is_not_run_again(tmp_path):
    options = LoopOptions(budget_steps=3, precision="fp32")
    first = train(MagpieNet(SMALL), _bright_cube, tmp_path, options)
    again = train(MagpieNet(SMALL), lambda progress, rng: pytest.fail("a batch was drawn"), tmp_path, options)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_nan_loss_stops_the_training_with_a_remedy(tmp_path):
    def nan_batch(progress, rng):
        batch = _bright_cube(progress, rng)
        return replace(batch, images=batch.images * float("nan"))

    with pytest.raises(ModelError, match="learning rate"):
        train(MagpieNet(SMALL), nan_batch, tmp_path, LoopOptions(budget_steps=3, precision="fp32"))


def test_previous_checkpoint_is_loaded_if_the_newest_is_damaged(tmp_path):
    save_checkpoint(tmp_path, {"step": 1, "w": torch.ones(1000)})
    save_checkpoint(tmp_path, {"step": 2, "w": torch.ones(1000)})
    newest = tmp_path / "checkpoint.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert load_checkpoint(tmp_path)["step"] == 1
    clear_scratch(tmp_path)  # as a resumed training does
    save_checkpoint(tmp_path, {"step": 3, "w": torch.ones(1000)})
    newest.unlink()  # the intact previous checkpoint was kept
    assert load_checkpoint(tmp_path)["step"] == 1
    (tmp_path / "checkpoint.previous.pt").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="damaged"):
        load_checkpoint(tmp_path)


def test_training_is_resumed_after_a_kill(tmp_path):
    program = textwrap.dedent(
        """
        import json, sys, torch
        from pathlib import Path
        from magpie_core.networks.config import read_config
        from magpie_core.networks.magpie_net import MagpieNet
        from magpie_core.training.loop_options import LoopOptions
        from magpie_core.training.patch_sampling import Batch
        from magpie_core.training.segmentation_training import train
        torch.set_num_threads(1)
        config = read_config(json.loads(sys.argv[2]))
        images, targets = torch.rand(1, 4, 8, 8, 8), torch.ones(1, 3, 8, 8, 8)
        batch = Batch(images, targets, torch.ones(1, 4).bool(), config.modalities, False)
        options = LoopOptions(budget_steps=1000000, precision="fp32", checkpoint_minutes=0.005)
        train(MagpieNet(config), lambda progress, rng: batch, Path(sys.argv[1]), options)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), json.dumps(SMALL.to_dict())])
    deadline = time.monotonic() + 300
    while not (tmp_path / "checkpoint.previous.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    state = load_checkpoint(tmp_path)
    assert state is not None and state["step"] > 0
    reached = int(state["step"])
    seen = []
    options = LoopOptions(budget_steps=reached + 5, precision="fp32", log_every=1)
    train(
        MagpieNet(SMALL),
        _bright_cube,
        tmp_path,
        options,
        on_progress=lambda progress, line: seen.append(int(line["step"])),
    )
    assert seen == [reached + n for n in range(1, 6)]


def test_checkpoint_without_a_checksum_is_refused(tmp_path):
    torch.save({"step": 7, "w": torch.ones(1000)}, tmp_path / "checkpoint.pt")
    with pytest.raises(ModelError, match="damaged"):
        load_checkpoint(tmp_path)
    save_checkpoint(tmp_path, {"step": 8, "w": torch.ones(1000)})
    assert load_checkpoint(tmp_path)["step"] == 8


def test_truncated_checkpoint_is_detected(tmp_path):
    save_checkpoint(tmp_path, {"step": 3})
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    assert whole[-71:].startswith(b"sha256:")
    (tmp_path / "checkpoint.pt").write_bytes(whole[:-100])
    with pytest.raises(ModelError, match="damaged"):
        load_checkpoint(tmp_path)


def test_resumed_log_continues_at_the_checkpoint(tmp_path):
    options = LoopOptions(budget_steps=4, precision="fp32", log_every=2)
    train(MagpieNet(SMALL), _bright_cube, tmp_path, options)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 6, "loss": 1}\n{"step": 8, "lo')  # a killed training was ahead of its checkpoint
    train(MagpieNet(SMALL), _bright_cube, tmp_path, replace(options, budget_steps=8))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    assert lines[2]["loss"] != 1 and lines[-1]["minutes_left"] >= 0


def test_evaluation_gets_the_ema_network(tmp_path):
    def measure(ema_network, step):
        assert not any(parameter.requires_grad for parameter in ema_network.parameters())
        return {"called_at": float(step)}

    training_step = SegmentationStep(_bright_cube, region_loss, SMALL.regions, "cpu")
    options = LoopOptions(budget_steps=5, precision="fp32", log_every=1)
    optimize(MagpieNet(SMALL), training_step, tmp_path, options, callbacks=[Evaluation(measure, every_steps=2)])
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line.get("called_at") for line in lines] == [None, 2, 2, 4, 4]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"deterministic": True, "budget_minutes": 5.0}, "clock"),
        ({"precision": "fp16"}, "GPU"),
        ({"precision": "half"}, "bf16"),
        ({"budget_steps": 0}, "0 steps"),
        ({"budget_steps": -3}, "-3 steps"),
        ({"budget_minutes": 0.0}, "0 minutes"),
        ({"budget_minutes": float("nan")}, "nan minutes"),
        ({"learning_rate": 0.0}, "learning rate is 0"),
        ({"learning_rate": float("nan")}, "learning rate is nan"),
    ],
)
def test_impossible_options_are_refused(tmp_path, wrong, word):
    with pytest.raises(InputError, match=word):
        train(MagpieNet(SMALL), _bright_cube, tmp_path, LoopOptions(**{"budget_steps": 1, **wrong}))


def test_deterministic_training_on_a_gpu_is_refused(tmp_path):
    options = LoopOptions(budget_steps=1, precision="fp32", deterministic=True)
    with pytest.raises(InputError, match="Deterministic training needs a CPU"):
        train(MagpieNet(SMALL), _bright_cube, tmp_path, options, device="cuda")


@pytest.mark.parametrize("other", ["network", "optimizer"])
def test_folder_of_another_training_is_refused_and_unchanged(tmp_path, other):
    options = LoopOptions(budget_steps=1, precision="fp32")
    train(MagpieNet(SMALL), _bright_cube, tmp_path, options)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    config = replace(SMALL, widths=(4, 16)) if other == "network" else SMALL
    options = replace(options, budget_steps=2, optimizer="sgd" if other == "optimizer" else "adamw")
    with pytest.raises(ModelError, match=tmp_path.name):
        train(MagpieNet(config), _bright_cube, tmp_path, options)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_tensorboard_log_is_written_or_its_absence_reported(tmp_path, monkeypatch):
    options = LoopOptions(budget_steps=2, precision="fp32", log_every=1, tensorboard=True)
    if importlib.util.find_spec("tensorboard") is not None:
        train(MagpieNet(SMALL), _bright_cube, tmp_path / "with", options)
        assert list((tmp_path / "with" / "tensorboard").iterdir())
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ResourceError, match=r"magpie-core\[tensorboard\]"):
        train(MagpieNet(SMALL), _bright_cube, tmp_path / "without", options)


def test_sharding_in_a_single_process_is_refused(tmp_path):
    options = LoopOptions(budget_steps=1, precision="fp32", shard=True)
    with pytest.raises(InputError, match="torchrun"):
        train(MagpieNet(SMALL), _bright_cube, tmp_path, options)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="fp16"):
        LoopOptions(shard=True, precision="fp16")
