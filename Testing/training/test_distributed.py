"""Two ranks, started by torchrun, take the steps of a single process with their whole batch."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch

from magpie_core.errors import InputError
from magpie_core.training import distributed

PROGRAM = textwrap.dedent(
    """
    import json, sys
    from dataclasses import replace
    from pathlib import Path

    import numpy as np
    import torch

    from magpie_core.networks.build import build_network
    from magpie_core.networks.config import ExpertsConfig, NetworkConfig
    from magpie_core.training import distributed
    from magpie_core.training.augmentation import Augmentation
    from magpie_core.training.loop import optimize
    from magpie_core.training.loop_options import LoopOptions
    from magpie_core.pretraining.masked_autoencoder import MaskedAutoencoder
    from magpie_core.pretraining.config import PretrainingConfig
    from magpie_core.pretraining.pretraining_step import PretrainingStep
    from magpie_core.training.sample import Sample

    class Phantoms:
        def draw(self, rng):
            number = int(rng.integers(1000))
            study = np.random.default_rng(number)
            images = np.zeros((4, 24, 24, 24), np.float32)
            images[:, 2:-2, 2:-2, 2:-2] = study.standard_normal((4, 20, 20, 20)).clip(-3, 3)
            images[study.random(4) < 0.3] = 0  # studies differ in their modalities
            images[number % 4, 4:-4, 4:-4, 4:-4] = 1
            return Sample.pack(images, np.zeros((24, 24, 24)), name=f"subject {number}")

    folder, subjects, steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with distributed.process_group("cpu") as device:
        network_config = NetworkConfig(
            widths=(4, 8), encoder_blocks=(1, 1), decoder_blocks=(1,), refinement_channels=4, deep_supervision=0,
            experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0),
        )
        config = PretrainingConfig(
            view_size=(16, 16, 16), block_size=4, batch_size=subjects, augmentation=Augmentation(noise=0.5, drop=0.5)
        )
        training_step = PretrainingStep(Phantoms(), config, network_config.modalities, device)
        options = LoopOptions(
            budget_steps=steps, precision="fp32", deterministic=True, warmup_steps=2, learning_rate=1e-3, log_every=5,
            seed=4,
        )

        def pretrain(folder, options):
            torch.manual_seed(0)
            steps_taken = []

            def recorded(forward, progress, rng):
                result = training_step(forward, progress, rng)
                metrics = {"loss": result.loss.detach(), **result.metrics}
                means = distributed.all_reduce_mean({name: float(value) for name, value in metrics.items()}, device)
                own = training_step.draw(np.random.default_rng((3, len(steps_taken))))
                steps_taken.append({
                    **means,
                    "load": result.routing[0].load.tolist(),
                    "balance": float(result.routing[0].balance_loss.detach()),
                    "entropy": float(result.routing[0].entropy),
                    "locations": own.locations.tolist(),
                    "modalities": own.modalities,
                })
                return result

            autoencoder = MaskedAutoencoder(build_network(network_config), config)
            weights = optimize(autoencoder, recorded, folder, options, device=device)
            autoencoder.release()
            (folder / f"steps_{distributed.rank()}.json").write_text(json.dumps(steps_taken))
            torch.save(weights, folder / f"weights_{distributed.rank()}.pt")

        pretrain(folder, options)
        if distributed.world_size() > 1:
            pretrain(folder / "sharded", replace(options, shard=True))
    """
)


def _run(folder, processes, subjects, steps=20):
    folder.mkdir()
    program = folder / "program.py"
    program.write_text(PROGRAM)
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*start, str(program), str(folder), str(subjects), str(steps)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"steps_{number}.json").read_text()) for number in range(processes)]


def _lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two processes of one subject each, one process of two, and one of one; the folders lie beside each other."""
    base = tmp_path_factory.mktemp("ranks")
    return (
        base,
        _run(base / "two", processes=2, subjects=1),
        _run(base / "one", processes=1, subjects=2)[0],
        _run(base / "alone", processes=1, subjects=1, steps=3)[0],
    )


def test_two_ranks_take_the_steps_of_one_with_twice_the_batch(runs):
    base, (first, second), single, _ = runs
    assert len(first) == len(second) == len(single) == 20
    for step, (a, b, whole) in enumerate(zip(first, second, single, strict=True)):
        for metric in ("loss", "reconstruction", "contrast", "balance"):
            assert a[metric] == pytest.approx(whole[metric], abs=1e-4), (step, metric)
            assert b[metric] == pytest.approx(whole[metric], abs=1e-4), (step, metric)
    weights = [torch.load(base / run, weights_only=True) for run in ("two/weights_0.pt", "one/weights_0.pt")]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=1e-4)


def test_ranks_draw_different_views_and_learn_the_same_weights(runs):
    base, (first, second), *_ = runs
    assert {location for step in first for location in step["locations"]} == {0}
    assert {location for step in second for location in step["locations"]} == {1}
    assert any(a["modalities"] != b["modalities"] for a, b in zip(first, second, strict=True))
    one, two = (torch.load(base / "two" / f"weights_{number}.pt", weights_only=True) for number in (0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_all_reduce_routing_is_over_all_tokens(runs):
    _, (first, second), single, _ = runs
    for a, b, whole in zip(first, second, single, strict=True):
        assert a["load"] == b["load"]
        assert a["load"] == pytest.approx(
            whole["load"], abs=2e-3
        )  # a token near a decision boundary may be routed to another expert
        assert a["entropy"] == pytest.approx(whole["entropy"], abs=1e-4)
        assert sum(a["load"]) == pytest.approx(1, abs=1e-5)


def test_all_gather_provides_negatives_of_both_ranks(runs):
    """A rank with a single subject has no negatives of its own: without the other rank its contrastive loss is 0."""
    _, (first, second), _, alone = runs
    assert [step["contrast"] for step in alone] == [0, 0, 0]
    assert all(a["contrast"] > 0 and a["contrast"] == b["contrast"] for a, b in zip(first, second, strict=True))


def test_sharded_network_learns_the_same(runs):
    base, (usual, _), *_ = runs
    sharded = json.loads((base / "two" / "sharded" / "steps_0.json").read_text())
    for step, (one, other) in enumerate(zip(usual, sharded, strict=True)):
        for metric in ("loss", "reconstruction", "contrast", "balance"):
            assert other[metric] == pytest.approx(one[metric], abs=1e-4), (step, metric)
    weights = [torch.load(base / "two" / run, weights_only=True) for run in ("weights_0.pt", "sharded/weights_1.pt")]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=1e-4)


def test_only_rank_0_writes(runs):
    base, *_ = runs
    assert [line["step"] for line in _lines(base / "two")] == [5, 10, 15, 20]
    assert sorted(path.name for path in (base / "two").glob("checkpoint*")) == ["checkpoint.pt"]


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'"),
        ({"WORLD_SIZE": "-2"}, "WORLD_SIZE is '-2'"),
        ({"WORLD_SIZE": "2"}, "no RANK"),
        ({"WORLD_SIZE": "2", "RANK": "first"}, "RANK is 'first'"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK is '2', which is no number from 0 to 1"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "MASTER_ADDR"),
        ({"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "no port"}, "Cannot join"),
    ],
)
def test_process_group_refuses_an_inconsistent_environment(monkeypatch, environment, word):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=word) as caught, distributed.process_group("cpu"):
        pytest.fail("joined")
    assert "torchrun" in str(caught.value)
    assert distributed.world_size() == 1 and distributed.rank() == 0


def test_process_group_of_one_process_is_none(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    with distributed.process_group("cpu") as device:
        assert device == "cpu" and distributed.world_size() == 1
