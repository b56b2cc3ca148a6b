"""Training segmentation with two ranks, started by torchrun, against a single one with both of their patches."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from magpie_core.training.run_log import read_log

PROGRAM = textwrap.dedent(
    """
    import json, shutil, sys
    from dataclasses import dataclass, replace
    from pathlib import Path

    import numpy as np
    import torch

    from magpie_core.networks.build import build_network
    from magpie_core.networks.config import ExpertsConfig, NetworkConfig
    from magpie_core.networks.config import MomeConfig
    from magpie_core.training import distributed
    from magpie_core.training.loop_options import LoopOptions
    from magpie_core.training.patch_sampling import CasePatches, SyntheticPatches, synthetic_batches
    from magpie_core.training.segmentation_training import train, train_on_cases
    from magpie_core.training.sample import Sample
    from magpie_core.training.validation import DiceValidator

    def study(number):
        rng = np.random.default_rng(number)
        images = np.zeros((4, 24, 24, 24), np.float32)
        images[:, 3:-3, 3:-3, 3:-3] = rng.standard_normal((4, 18, 18, 18)).clip(-3, 3)
        images[number % 4] = 0  # studies differ in their modalities
        labels = np.zeros((24, 24, 24), np.uint8)
        corner = rng.integers(4, 12, 3)
        labels[tuple(slice(c, c + 8) for c in corner)] = 2
        labels[tuple(slice(c + 2, c + 6) for c in corner)] = 3
        return Sample.pack(images, labels, name=str(number))

    class Source:
        def draw(self, rng):
            return study(int(rng.integers(1000)))

    @dataclass(frozen=True)
    class Recorded(DiceValidator):
        def score(self, network):
            with (folder / f"validations_{distributed.rank()}.txt").open("a") as stream:
                stream.write("validated\\n")
            return super().score(network)

    base, batch_size = Path(sys.argv[1]), int(sys.argv[2])
    config = NetworkConfig(
        widths=(4, 8), encoder_blocks=(1, 1), decoder_blocks=(1,), refinement_channels=4, deep_supervision=0,
        experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0),
    )
    options = LoopOptions(
        budget_steps=8, precision="fp32", deterministic=True, warmup_steps=2, learning_rate=1e-3, log_every=4, seed=4
    )
    small = {"patch_size": (16, 16, 16), "brain_size": (24, 24, 24), "batch_size": batch_size}
    samples = [study(number) for number in range(5)]

    def cases(network):
        patches = CasePatches(backbone_until=0.5, synthetic_fraction=0.3, freeze_routers_until=0.3, **small)
        validation = Recorded([sample.downsampled() for sample in samples[:1]], every_steps=4)
        return train_on_cases(
            network, samples, Source(), folder, options, patches=patches, validator=validation, device=device
        )

    def synthetic(network):
        batches = synthetic_batches(Source(), SyntheticPatches(**small), network, device)
        return train(network, batches, folder, options, device=device)

    def mixture(network):
        patches = CasePatches(**small)
        return train_on_cases(
            network, samples, None, folder, replace(options, budget_steps=3), patches=patches, device=device
        )

    class Stopped(Exception):
        pass

    def recorded(metrics, device):
        if len(seen) == stop_before:
            raise Stopped
        seen.append(all_reduce_mean(metrics, device))
        return seen[-1]

    def record(name, train, config):
        global folder
        folder = base / name
        folder.mkdir(exist_ok=True)
        torch.manual_seed(0)
        seen.clear()
        network = build_network(config)
        try:
            weights = train(network)
        except Stopped:
            return
        torch.save(weights, folder / f"weights_{distributed.rank()}.pt")
        (folder / f"steps_{distributed.rank()}.json").write_text(json.dumps(seen))
        kept = sum(getattr(value, "_local_tensor", value).numel() for value in network.parameters())
        (folder / f"kept_{distributed.rank()}.json").write_text(json.dumps(kept))

    with distributed.process_group("cpu") as device:
        all_reduce_mean, seen, stop_before = distributed.all_reduce_mean, [], None
        distributed.all_reduce_mean = recorded
        record("cases", cases, config)
        record("synthetic", synthetic, config)
        record("mixture", mixture, MomeConfig(config))
        if distributed.world_size() > 1:
            options = replace(options, shard=True, checkpoint_minutes=0.0)
            record("sharded cases", cases, config)
            stop_before = 5
            record("resumed", cases, config)
            if distributed.rank() == 0:
                shutil.copytree(base / "resumed", base / "resumed unsharded")
            torch.distributed.barrier()
            stop_before = None
            record("resumed", cases, config)
            options = replace(options, shard=False)
            record("resumed unsharded", cases, config)
    """
)


def _run(folder, processes, batch_size):
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*start, str(folder / "program.py"), str(folder), str(batch_size)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of two ranks with a patch each, and of one with two."""
    base = tmp_path_factory.mktemp("ranks")
    return _run(base / "two", processes=2, batch_size=1), _run(base / "one", processes=1, batch_size=2)


def _steps(folder, number=0):
    return json.loads((folder / f"steps_{number}.json").read_text())


def _weights(folder, number=0):
    return torch.load(folder / f"weights_{number}.pt", weights_only=True)


@pytest.mark.parametrize("kind", ["cases", "synthetic", "mixture"])
def test_two_ranks_take_the_steps_of_one_with_both_patches(runs, kind):
    two, one = (run / kind for run in runs)
    together, alone = _steps(two), _steps(one)
    assert len(together) == len(alone) == (3 if kind == "mixture" else 8)
    for step, (both, single) in enumerate(zip(together, alone, strict=True)):
        for metric in [name for name in single if name.startswith(("loss", "dice", "balance", "entropy"))]:
            assert both[metric] == pytest.approx(single[metric], abs=1e-4), (step, metric)
    single = _weights(one)
    for name, value in _weights(two).items():
        torch.testing.assert_close(value, single[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["cases", "synthetic", "mixture"])
def test_ranks_learn_the_same_and_rank_0_alone_writes(runs, kind):
    folder = runs[0] / kind
    first, second = _weights(folder), _weights(folder, 1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert _steps(folder) == _steps(folder, 1)
    lines = read_log(folder / "log.jsonl")
    assert [line["step"] for line in lines] == ([3] if kind == "mixture" else [4, 8])
    assert [path.name for path in folder.glob("checkpoint*")] == ["checkpoint.pt"]


def test_rank_0_alone_validates(runs):
    folder = runs[0] / "cases"
    assert (folder / "validations_0.txt").read_text().count("validated") == 2
    assert not (folder / "validations_1.txt").exists()


def test_sharded_network_learns_the_same(runs):
    usual, sharded = runs[0] / "cases", runs[0] / "sharded cases"
    for step, (one, other) in enumerate(zip(_steps(usual), _steps(sharded), strict=True)):
        assert other["loss"] == pytest.approx(one["loss"], abs=1e-4), step
        # The order of sums differs in the last bits, and now and then that sends a voxel to another expert.
        assert other["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-2), step
    weights = _weights(sharded)
    for name, value in _weights(usual).items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)
    everything = json.loads((usual / "kept_0.json").read_text())
    parts = [json.loads((sharded / f"kept_{number}.json").read_text()) for number in (0, 1)]
    assert max(parts) < 0.6 * everything and sum(parts) >= everything


@pytest.mark.parametrize("how", ["resumed", "resumed unsharded"])
def test_sharded_training_is_resumed_sharded_or_not(runs, how):
    """Stopped in the sixth step, in both processes; its checkpoint is whole."""
    steps = _steps(runs[0] / how)
    assert len(steps) == 3
    for one, other in zip(_steps(runs[0] / "sharded cases")[5:], steps, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], abs=1e-4)
    weights = _weights(runs[0] / how)
    for name, value in _weights(runs[0] / "sharded cases").items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)
