"""Pretraining: it learns, its weights start a segmentation network, and nothing it meets destroys it."""

import json
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from magpie_core.cli import app
from magpie_core.errors import InputError
from magpie_core.models.description import ModelDescription
from magpie_core.models.model import load_model, save_model
from magpie_core.networks.build import build_network
from magpie_core.networks.config import ExpertsConfig, NetworkConfig
from magpie_core.pretraining.config import (
    PRETRAINING_PRESETS,
    PretrainingConfig,
    pretraining_preset,
)
from magpie_core.pretraining.dataset.config import PAPER_SCALE, DatasetConfig
from magpie_core.pretraining.masked_autoencoder import MaskedAutoencoder
from magpie_core.pretraining.pretrain import pretrain
from magpie_core.pretraining.pretraining_step import PretrainingStep
from magpie_core.pretraining.view_source import PretrainingSource
from magpie_core.pretraining.views import draw_views
from magpie_core.training.augmentation import Augmentation
from magpie_core.training.checkpoints import load_checkpoint
from magpie_core.training.loop import LoopOptions
from magpie_core.training.patch_sampling import train_on_cases
from magpie_core.training.sample import Sample

TINY = NetworkConfig(
    widths=(4, 8),
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
    experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0),
    refinement_channels=4,
    deep_supervision=0,
)
PLAIN = Augmentation(gain=0.0, shift=0.0, drop=0.0)
SMALL = PretrainingConfig(box=(16, 16, 16), block=4)
OPTIONS = LoopOptions(
    budget_steps=6, precision="fp32", learning_rate=3e-3, warmup_steps=3, ema_decay=0.9, log_every=2
)


class Phantoms:
    """Smooth brains, some without one or two of the modalities."""

    def __init__(self, lacking=0.0):
        self.lacking = lacking

    def draw(self, random):
        return phantom(int(random.integers(20)), self.lacking)


def phantom(number, lacking=0.0, size=24):
    random = np.random.default_rng(number)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij"))
    brain = (grid**2).sum(axis=0) < 0.9
    shades = [np.sin(random.uniform(1, 3) * axis + number) for axis in grid]
    images = np.stack([sum(random.uniform(-1, 1) * shade for shade in shades) + 0.3 for _ in range(4)])
    images = np.where(brain, images.clip(-3, 3), 0).astype(np.float32)
    kept = random.random(4) >= lacking
    kept[random.integers(4)] = True
    return Sample.pack(images * kept[:, None, None, None], np.zeros((size,) * 3), name=f"subject {number}")


def _lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_what_is_hidden_is_learned_to_be_drawn(tmp_path):
    torch.manual_seed(0)
    recipe = replace(SMALL, augmentation=PLAIN)
    options = replace(OPTIONS, budget_steps=80, learning_rate=1e-2, log_every=20)
    pretrain(build_network(TINY), Phantoms(), tmp_path, options, recipe=recipe, pictures_every=20)
    lines = _lines(tmp_path)
    assert lines[-1]["reconstruction"] < 0.7 * lines[0]["reconstruction"]
    assert lines[-1]["validation_reconstruction"] < lines[0]["validation_reconstruction"]
    expected = {"loss", "contrast", "balance_0", "entropy_0", "load_0_3", "gradient_norm", "minutes_left"}
    assert expected <= set(lines[-1])
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == ["dynamics.png", *(f"reconstruction_0000{step}.png" for step in (20, 40, 60, 80))]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_pictures_are_drawn_whatever_the_blocks(tmp_path):
    """A whole brain is made larger until it divides into blocks of 6 and into the network's coarsest voxels."""
    recipe = replace(SMALL, box=(24, 24, 24), block=6)
    pretrain(build_network(TINY), Phantoms(), tmp_path, OPTIONS, recipe=recipe, pictures_every=6)
    assert (tmp_path / "reconstruction_000006.png").is_file()


def test_views_of_a_place_learn_to_be_alike():
    """A batch that stays the same is told apart without fault, whatever is hidden of it."""
    torch.manual_seed(0)
    recipe = replace(SMALL, subjects=3, reconstruction=0.0)
    autoencoder = MaskedAutoencoder(build_network(TINY), recipe)
    take_step = PretrainingStep(Phantoms(), recipe, TINY.modalities, "cpu")
    optimizer = torch.optim.AdamW(autoencoder.parameters(), lr=1e-2)
    contrasts = []
    for _ in range(40):
        step = take_step(autoencoder, 0.0, np.random.default_rng(0))
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        contrasts.append(step.figures["contrast"])
    assert contrasts[0] > 1.2 and contrasts[-1] < 0.2


def test_any_mixture_of_modalities_makes_a_batch(tmp_path):
    recipe = replace(SMALL, subjects=4)
    take_step = PretrainingStep(Phantoms(lacking=0.5), recipe, TINY.modalities, "cpu")
    batches = [take_step.draw(np.random.default_rng((0, step))) for step in range(12)]
    counts = {int(count) for batch in batches for count in batch.present.sum(dim=1)}
    assert counts >= {1, 2, 3}
    for batch in batches:
        assert batch.present.any(dim=1).all() and batch.present.any(dim=0).all()
        assert not batch.images[~batch.present].any()
    weights = pretrain(
        build_network(TINY), Phantoms(lacking=0.5), tmp_path, OPTIONS, recipe=recipe, pictures_every=0
    )
    assert all(value.isfinite().all() for value in weights.values())


def test_a_network_of_one_modality_is_given_what_it_can_read(tmp_path):
    flair = replace(TINY, modalities=("FLAIR",))
    take_step = PretrainingStep(Phantoms(lacking=0.6), SMALL, flair.modalities, "cpu")
    for step in range(10):
        batch = take_step.draw(np.random.default_rng((0, step)))
        assert batch.modalities == ("FLAIR",) and batch.present.all()

    class NeverFlair:
        def draw(self, random):
            packed = phantom(0).packed.copy()
            packed[3] = 102  # nothing
            return Sample(packed)

    with pytest.raises(InputError, match="FLAIR"):
        pretrain(build_network(flair), NeverFlair(), tmp_path, OPTIONS, recipe=SMALL)


def test_views_of_a_place_overlap_and_are_masked_apart():
    recipe = replace(SMALL, box=(8, 8, 8), jitter=0.25, views=3, augmentation=PLAIN)
    # The first three modalities tell each voxel's place.
    packed = np.full((5, 24, 24, 24), 120, np.uint8)
    packed[:3] += np.indices((24, 24, 24), dtype=np.uint8)
    for seed in range(5):
        views = draw_views(Sample(packed, "one"), recipe, np.random.default_rng(seed))
        assert len(views) == 3 and len({view.subject for view in views}) == 1
        places = [torch.round((view.images[:3] + 4) * 25.5) - 120 for view in views]
        inside = [(view.images[3] != 0) for view in views]
        directions = {
            bool((place[0, 1:] - place[0, :-1])[seen[1:] & seen[:-1]].mean() > 0)
            for place, seen in zip(places, inside, strict=True)
        }
        assert len(directions) == 1
        middles = [place[:, seen].mean(dim=1) for place, seen in zip(places, inside, strict=True)]
        assert all((one - two).abs().max() <= 4 for one in middles for two in middles)
        assert not torch.equal(views[0].visible, views[1].visible)
    noisy = replace(recipe, augmentation=Augmentation(noise=1.0))
    once, again = (draw_views(phantom(1), noisy, np.random.default_rng(3))[0] for _ in range(2))
    assert torch.equal(once.images, again.images)


def test_a_clean_target_has_the_intensities_of_before():
    noisy = replace(SMALL, augmentation=replace(PLAIN, noise=1.0))
    (same, _), (clean, _) = (
        draw_views(phantom(1), recipe, np.random.default_rng(0))
        for recipe in (noisy, replace(noisy, clean_target=True))
    )
    assert torch.equal(same.images, same.targets)
    assert torch.equal(clean.images, same.images) and not torch.equal(clean.targets, same.targets)
    assert not clean.targets[:, ~(clean.images != 0).any(dim=0)].any()


def test_the_papers_intensities_run_from_0_to_1():
    recipe = replace(SMALL, unit_range=True, box=(24, 24, 24), augmentation=PLAIN)
    view, _ = draw_views(phantom(1), recipe, np.random.default_rng(0))
    for image in view.images:
        inside = image[(view.images != 0).any(dim=0)]
        assert inside.min() >= 0 and 0.9 < inside.max() <= 1


def test_the_papers_numbers_have_a_name():
    recipe, loop = pretraining_preset("paper")
    assert (recipe.hidden, recipe.block, recipe.temperature) == (0.75, 16, 0.1)
    assert (recipe.reconstruction, recipe.contrast, recipe.balance) == (1.0, 1.0, 0.01)
    assert recipe.unit_range and recipe.sparse and recipe.subjects == 4 and recipe.jitter == 0.1
    assert (loop.optimizer, loop.learning_rate, loop.weight_decay) == ("adamw", 1e-4, 0.05)
    assert (loop.betas, loop.schedule, loop.clip_norm) == ((0.9, 0.999), "cosine", 1.0)
    spatial = recipe.augmentation
    assert (spatial.rotation_deg, spatial.scaling, spatial.shift) == (15.0, 0.1, 0.1)
    assert spatial.elastic > 0 and spatial.noise_range == (0.05, 0.05)
    amaes, _ = pretraining_preset("amaes")
    assert amaes.block == 4 and not amaes.sparse and amaes.light_decoder and amaes.clean_target
    with pytest.raises(InputError, match="magpie, paper, amaes"):
        pretraining_preset("nothing")


@pytest.mark.parametrize("name", PRETRAINING_PRESETS)
def test_the_result_starts_a_segmentation_network(tmp_path, name):
    torch.manual_seed(0)
    recipe, loop = pretraining_preset(name)
    recipe = replace(recipe, box=(16, 16, 16), block=4, subjects=2)
    network = build_network(TINY)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    options = replace(loop, budget_steps=4, precision="fp32", warmup_steps=0)
    weights = pretrain(network, Phantoms(), tmp_path / "run", options, recipe=recipe, pictures_every=0)
    assert set(weights) == set(before)
    assert all(parameter.requires_grad for parameter in network.parameters())
    network(
        torch.randn(1, 4, 8, 8, 8), TINY.modalities
    )  # of another size than the views: nothing is masked any more
    changed = {key.split(".")[0] for key, value in weights.items() if not torch.equal(value, before[key])}
    assert changed == {"stem", "encoder"} | (set() if recipe.light_decoder else {"decoder"})
    description = ModelDescription(
        name="pretrained", version="1", license="Apache-2.0", network=TINY.to_dict()
    )
    save_model(tmp_path / "model", description, weights, card="# pretrained")
    start = load_model(tmp_path / "model").network
    taught = train_on_cases(start, [phantom(0)], None, tmp_path / "taught", replace(OPTIONS, budget_steps=2))
    assert all(value.isfinite().all() for value in taught.values())


def test_the_command_makes_a_model_and_goes_on(tmp_path, tiny_model):
    samples = tmp_path / "samples"
    samples.mkdir()
    for number in range(3):
        np.save(samples / f"slot_{number:05d}.npy", phantom(number, size=32).packed)
    command = [
        "train",
        "pretraining",
        "--source",
        str(samples),
        "--start",
        str(tiny_model),
        "--box",
        "16",
        "16",
    ]
    command += ["16", "--steps", "3", "--pictures-every", "3", "--device", "cpu", "--precision", "fp32"]
    done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "run"), "--deterministic"])
    assert done.exit_code == 0, done.output
    model = load_model(tmp_path / "run" / "model")
    assert model.description.name == "tiny-pretrained"
    assert model.description.training["steps"] == 3
    assert (tmp_path / "run" / "reconstruction_000003.png").is_file()
    wrong = CliRunner().invoke(app, [*command[:3], str(tmp_path / "run"), "-o", str(tmp_path / "other")])
    assert wrong.exit_code == 3 and "corpus prepare" in wrong.output
    by_clock = [*command, "--minutes", "1", "--deterministic", "-o", str(tmp_path / "other")]
    assert CliRunner().invoke(app, by_clock).exit_code == 3


def test_a_corpus_of_the_papers_intensities_needs_the_papers_way(tmp_path):
    DatasetConfig(intensities="paper").settle(tmp_path)
    with pytest.raises(InputError, match="--preset paper"):
        PretrainingSource([tmp_path])
    source = PretrainingSource([tmp_path], unit_range=True)
    with pytest.raises(InputError, match="no study"):
        source.draw(np.random.default_rng(0))
    images = np.zeros((4, 16, 16, 16), np.float32)
    images[:, 2:14, 2:14, 2:14] = PAPER_SCALE * np.linspace(0.01, 1, 12)[:, None, None]
    sample = Sample.pack(images, np.zeros((16,) * 3))
    view, _ = draw_views(
        sample, replace(SMALL, unit_range=True, augmentation=PLAIN), np.random.default_rng(0)
    )
    torch.testing.assert_close(view.images.amax(), torch.tensor(1.0), atol=0.02, rtol=0)


def test_corpora_of_different_voxel_sizes_are_refused(tmp_path):
    for name, spacing_mm in (("fine", 1.0), ("usual", 2.0)):
        DatasetConfig(spacing_mm=spacing_mm).settle(tmp_path / name)
    with pytest.raises(InputError, match=r"fine has voxels of 1 mm, .*usual has voxels of 2 mm"):
        PretrainingSource([tmp_path / "fine", tmp_path / "usual"])


def test_a_corpus_that_is_finer_than_the_network_looks_is_refused(tmp_path):
    DatasetConfig(spacing_mm=1.0).settle(tmp_path)
    with pytest.raises(InputError, match=r"works at 2 mm.*--spacing-mm 2"):
        PretrainingSource([tmp_path], spacing_mm=2.0)


def test_a_file_that_is_no_sample_is_named(tmp_path):
    np.save(tmp_path / "other.npy", np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"other\.npy"):
        PretrainingSource([tmp_path]).draw(np.random.default_rng(0))
    (tmp_path / "other.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"other\.npy"):
        PretrainingSource([tmp_path]).draw(np.random.default_rng(0))


def test_boxes_whose_gradients_would_be_wrong_are_refused(tmp_path):
    options = replace(OPTIONS, precision="bf16")
    recipe = replace(SMALL, box=(4, 16, 16))
    with pytest.raises(InputError, match="fp32"):
        pretrain(build_network(TINY), Phantoms(), tmp_path, options, recipe=recipe)


@pytest.mark.parametrize("box", [(0, 0, 0), (-16, 16, 16), (2, 2, 2), (16, 16, 17)])
def test_boxes_that_do_not_fit_the_network_are_refused(tmp_path, box):
    with pytest.raises(InputError, match=" x ".join(map(str, box))):
        pretrain(build_network(TINY), Phantoms(), tmp_path, OPTIONS, recipe=replace(SMALL, box=box, block=2))
    assert not list(tmp_path.iterdir())


HOME = textwrap.dedent(
    """
    import os, resource, signal, sys, time
    from pathlib import Path
    import numpy as np
    import torch
    from magpie_core.errors import MagpieError
    from magpie_core.networks.build import build_network
    from magpie_core.networks.config import ExpertsConfig, NetworkConfig
    from magpie_core.training.augmentation import Augmentation
    from magpie_core.training.loop_options import LoopOptions
    from magpie_core.pretraining.pretrain import pretrain
    from magpie_core.pretraining.config import PretrainingConfig
    from magpie_core.training.sample import Sample

    config = NetworkConfig(
        widths=(4, 8), encoder_blocks=(1, 1), decoder_blocks=(1,), refinement_channels=4, deep_supervision=0,
        experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0),
    )

    class Phantoms:
        def draw(self, random):
            study = np.random.default_rng(int(random.integers(9)))
            return Sample.pack(study.standard_normal((4, 12, 12, 12)).clip(-3, 3), np.zeros((12, 12, 12)))

    def run(folder, steps, checkpoint_minutes):
        torch.manual_seed(5)
        recipe = PretrainingConfig(box=(8, 8, 8), block=2, augmentation=Augmentation(noise=0.5))
        options = LoopOptions(
            budget_steps=steps, precision="fp32", deterministic=True, log_every=10, warmup_steps=5, seed=2,
            checkpoint_minutes=checkpoint_minutes,
        )
        pretrain(build_network(config), Phantoms(), folder, options, recipe=recipe, pictures_every=0)
    """
)

KILLS = HOME + textwrap.dedent(
    """
    base, steps = Path(sys.argv[1]), 200

    def child(folder):
        pid = os.fork()  # this process never trains itself, so that a fork starts as fresh as a new one
        if pid == 0:
            try:
                run(folder, steps, 0.0005)
            except BaseException:
                import traceback
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        return pid

    def logged(folder):
        log = folder / "log.jsonl"
        return log.read_text().count("step") if log.exists() else 0

    assert os.waitpid(child(base / "whole"), 0)[1] == 0
    chance = np.random.default_rng(7)
    killed = 0
    for lines in sorted(chance.integers(1, 18, 10)):
        pid = child(base / "killed")
        while logged(base / "killed") < lines:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        os.kill(pid, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    assert os.waitpid(child(base / "killed"), 0)[1] == 0
    print(killed)
    """
)


def _child(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def test_ten_kills_at_random_moments_change_no_bit(tmp_path):
    done = _child(KILLS, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 10
    whole, killed = (load_checkpoint(tmp_path / name) for name in ("whole", "killed"))
    assert whole["step"] == killed["step"] == 200
    for part in ("network", "averaged"):
        assert all(torch.equal(value, killed[part][name]) for name, value in whole[part].items())
    for number, moments in whole["optimizer"]["state"].items():
        other = killed["optimizer"]["state"][number]
        assert all(torch.equal(moments[name], other[name]) for name in moments)
    timed = {"minutes", "minutes_left"}
    logs = [
        [{key: value for key, value in line.items() if key not in timed} for line in _lines(tmp_path / name)]
        for name in ("whole", "killed")
    ]
    assert logs[0] == logs[1]
    assert not list((tmp_path / "killed").glob(".*"))


FULL = HOME + textwrap.dedent(
    """
    def fill(what):
        folder = Path(sys.argv[1]) / what
        run(folder, 10, 60.0)
        # A file that would grow beyond the limit fails as one on a full disk does.
        size = (folder / ("checkpoint.pt" if what == "checkpoint" else "log.jsonl")).stat().st_size
        limit = size // 2 if what == "checkpoint" else size
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            run(folder, 40, 0.0 if what == "checkpoint" else 60.0)
        except MagpieError as error:
            print(type(error).__name__, error, flush=True)
        os._exit(0)

    for what in ("checkpoint", "log"):
        pid = os.fork()
        if pid == 0:
            fill(what)
        os.waitpid(pid, 0)
    """
)


def test_a_full_disk_stops_with_a_message_and_keeps_the_last_checkpoint(tmp_path):
    done = _child(FULL, tmp_path)
    messages = done.stdout.splitlines()
    assert len(messages) == 2, done.stderr
    for what, message in zip(("checkpoint", "log"), messages, strict=True):
        assert message.startswith("ResourceError") and "disk" in message
        assert load_checkpoint(tmp_path / what)["step"] == 10
        assert [line["step"] for line in _lines(tmp_path / what)] == [10]
