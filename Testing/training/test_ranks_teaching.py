"""Teaching segmentation by two processes, started by torchrun, against a single one with both of their boxes."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch

PROGRAM = textwrap.dedent(
    """
    import json, sys
    from dataclasses import dataclass, replace
    from pathlib import Path

    import numpy as np
    import torch

    from magpie_core.networks.build import build_network
    from magpie_core.networks.config import ExpertsConfig, NetworkConfig
    from magpie_core.networks.mome_config import MomeConfig
    from magpie_core.training import ranks
    from magpie_core.training.loop_options import LoopOptions
    from magpie_core.training.recipes import CaseRecipe, SyntheticRecipe, train_on_cases, train_on_synthetic
    from magpie_core.training.sample import Sample
    from magpie_core.training.validation import Validation

    def study(number):
        random = np.random.default_rng(number)
        images = np.zeros((4, 24, 24, 24), np.float32)
        images[:, 3:-3, 3:-3, 3:-3] = random.standard_normal((4, 18, 18, 18)).clip(-3, 3)
        images[number % 4] = 0  # studies differ in their sequences
        labels = np.zeros((24, 24, 24), np.uint8)
        corner = random.integers(4, 12, 3)
        labels[tuple(slice(c, c + 8) for c in corner)] = 2
        labels[tuple(slice(c + 2, c + 6) for c in corner)] = 3
        return Sample.pack(images, labels, name=str(number))

    class Ring:
        def draw(self, random):
            return study(int(random.integers(1000)))

    @dataclass(frozen=True)
    class Told(Validation):
        def score(self, network):
            with (folder / f"looks_{ranks.number()}.txt").open("a") as stream:
                stream.write("looked\\n")
            return super().score(network)

    base, boxes = Path(sys.argv[1]), int(sys.argv[2])
    config = NetworkConfig(
        widths=(4, 8), encoder_blocks=(1, 1), decoder_blocks=(1,), detail_channels=4, deep_supervision=0,
        experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0),
    )
    options = LoopOptions(
        budget_steps=12, bf16=False, deterministic=True, warmup_steps=2, learning_rate=1e-3, log_every=4, seed=4
    )
    small = {"box": (16, 16, 16), "whole_box": (24, 24, 24), "boxes": boxes}
    samples = [study(number) for number in range(5)]

    def cases(network):
        recipe = CaseRecipe(body_until=0.5, replay=0.3, hold_routers_until=0.3, **small)
        validation = Told([sample.halved() for sample in samples[:1]], every_steps=6)
        return train_on_cases(
            network, samples, Ring(), folder, options, recipe=recipe, validation=validation, device=device
        )

    def synthetic(network):
        return train_on_synthetic(
            network, Ring(), folder, options, recipe=SyntheticRecipe(**small), device=device
        )

    def mixture(network):
        recipe = CaseRecipe(**small)
        return train_on_cases(
            network, samples, None, folder, replace(options, budget_steps=4), recipe=recipe, device=device
        )

    with ranks.joined("cpu") as device:
        mean_figures, seen = ranks.mean_figures, []
        ranks.mean_figures = lambda *figures: seen.append(mean_figures(*figures)) or seen[-1]
        for name, teach, kind in (
            ("cases", cases, config), ("synthetic", synthetic, config), ("mixture", mixture, MomeConfig(config)),
        ):
            folder = base / name
            folder.mkdir(exist_ok=True)
            torch.manual_seed(0)
            seen.clear()
            weights = teach(build_network(kind))
            torch.save(weights, folder / f"weights_{ranks.number()}.pt")
            (folder / f"steps_{ranks.number()}.json").write_text(json.dumps(seen))
    """
)


def _run(folder, processes, boxes):
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*start, str(folder / "program.py"), str(folder), str(boxes)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of two processes with a box each, and of one process with two boxes."""
    base = tmp_path_factory.mktemp("ranks")
    return _run(base / "two", processes=2, boxes=1), _run(base / "one", processes=1, boxes=2)


def _steps(folder, number=0):
    return json.loads((folder / f"steps_{number}.json").read_text())


def _weights(folder, number=0):
    return torch.load(folder / f"weights_{number}.pt", weights_only=True)


@pytest.mark.parametrize("kind", ["cases", "synthetic", "mixture"])
def test_two_processes_take_the_steps_of_one_with_both_boxes(runs, kind):
    two, one = (run / kind for run in runs)
    together, alone = _steps(two), _steps(one)
    assert len(together) == len(alone) == (4 if kind == "mixture" else 12)
    for step, (both, single) in enumerate(zip(together, alone, strict=True)):
        for figure in [name for name in single if name.startswith(("loss", "dice", "balance", "entropy"))]:
            assert both[figure] == pytest.approx(single[figure], abs=1e-4), (step, figure)
    single = _weights(one)
    for name, value in _weights(two).items():
        torch.testing.assert_close(value, single[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["cases", "synthetic", "mixture"])
def test_they_learn_alike_and_the_first_alone_writes(runs, kind):
    folder = runs[0] / kind
    first, second = _weights(folder), _weights(folder, 1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert _steps(folder) == _steps(folder, 1)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == ([4] if kind == "mixture" else [4, 8, 12])
    assert [path.name for path in folder.glob("checkpoint*")] == ["checkpoint.pt"]


def test_the_first_process_alone_looks_whether_it_got_better(runs):
    folder = runs[0] / "cases"
    assert (folder / "looks_0.txt").read_text().count("looked") == 2
    assert not (folder / "looks_1.txt").exists()
