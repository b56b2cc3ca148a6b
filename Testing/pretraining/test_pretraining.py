"""Pretraining: learning, transfer to a segmentation network, resuming, and refusals."""

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
from magpie_core.pretraining.config import PRETRAINING_PRESETS, PretrainingConfig, pretraining_preset
from magpie_core.pretraining.dataset.config import PAPER_SCALE, DatasetConfig
from magpie_core.pretraining.masked_autoencoder import MaskedAutoencoder
from magpie_core.pretraining.mixed_source import MixedSource
from magpie_core.pretraining.pretrain import pretrain
from magpie_core.pretraining.pretraining_step import PretrainingStep
from magpie_core.pretraining.views import draw_views
from magpie_core.training.augmentation import Augmentation
from magpie_core.training.checkpoints import load_checkpoint
from magpie_core.training.loop_options import LoopOptions
from magpie_core.training.sample import Sample
from magpie_core.training.segmentation_training import train_on_cases

TINY = NetworkConfig(
    widths=(4, 8),
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
    experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0),
    refinement_channels=4,
    deep_supervision=0,
)
PLAIN = Augmentation(gain=0.0, shift=0.0, drop=0.0)
SMALL = PretrainingConfig(view_size=(16, 16, 16), block_size=4)
OPTIONS = LoopOptions(budget_steps=6, precision="fp32", learning_rate=3e-3, warmup_steps=3, ema_decay=0.9, log_every=2)


class Phantoms:
    """Smooth brains, some without one or two of the modalities."""

    def __init__(self, missing=0.0):
        self.missing = missing

    def draw(self, rng):
        return phantom(int(rng.integers(20)), self.missing)


def phantom(number, missing=0.0, size=24):
    rng = np.random.default_rng(number)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij"))
    brain = (grid**2).sum(axis=0) < 0.9
    shades = [np.sin(rng.uniform(1, 3) * axis + number) for axis in grid]
    images = np.stack([sum(rng.uniform(-1, 1) * shade for shade in shades) + 0.3 for _ in range(4)])
    images = np.where(brain, images.clip(-3, 3), 0).astype(np.float32)
    kept = rng.random(4) >= missing
    kept[rng.integers(4)] = True
    return Sample.pack(images * kept[:, None, None, None], np.zeros((size,) * 3), name=f"subject {number}")


def _lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_pretraining_learns_to_reconstruct_masked_blocks(tmp_path):
    torch.manual_seed(0)
    config = replace(SMALL, augmentation=PLAIN)
    options = replace(OPTIONS, budget_steps=80, learning_rate=1e-2, log_every=20)
    pretrain(build_network(TINY), Phantoms(), tmp_path, options, config=config, validate_every=20)
    lines = _lines(tmp_path)
    assert lines[-1]["reconstruction"] < 0.7 * lines[0]["reconstruction"]
    assert lines[-1]["validation_reconstruction"] < lines[0]["validation_reconstruction"]
    expected = {"loss", "contrast", "balance_0", "entropy_0", "load_0_3", "gradient_norm", "minutes_left"}
    assert expected <= set(lines[-1])
    pictures = sorted(path.name for path in tmp_path.glob("*.png"))
    assert pictures == [*(f"reconstruction_0000{step}.png" for step in (20, 40, 60, 80)), "training_curves.png"]
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_validator_draws_pictures_for_any_block_size(tmp_path):
    """Whole brains are padded until they divide into blocks of 6 and into the network's coarsest voxels."""
    config = replace(SMALL, view_size=(24, 24, 24), block_size=6)
    pretrain(build_network(TINY), Phantoms(), tmp_path, OPTIONS, config=config, validate_every=6)
    assert (tmp_path / "reconstruction_000006.png").is_file()


def test_contrastive_loss_falls_on_a_fixed_batch():
    torch.manual_seed(0)
    config = replace(SMALL, batch_size=3, reconstruction=0.0)
    autoencoder = MaskedAutoencoder(build_network(TINY), config)
    training_step = PretrainingStep(Phantoms(), config, TINY.modalities, "cpu")
    optimizer = torch.optim.AdamW(autoencoder.parameters(), lr=1e-2)
    contrasts = []
    for _ in range(40):
        step = training_step(autoencoder, 0.0, np.random.default_rng(0))
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        contrasts.append(step.metrics["contrast"])
    assert contrasts[0] > 1.2 and contrasts[-1] < 0.2


def test_step_draws_batches_of_any_mixture_of_modalities(tmp_path):
    config = replace(SMALL, batch_size=4)
    training_step = PretrainingStep(Phantoms(missing=0.5), config, TINY.modalities, "cpu")
    batches = [training_step.draw(np.random.default_rng((0, step))) for step in range(12)]
    counts = {int(count) for batch in batches for count in batch.present.sum(dim=1)}
    assert counts >= {1, 2, 3}
    for batch in batches:
        assert batch.present.any(dim=1).all() and batch.present.any(dim=0).all()
        assert not batch.images[~batch.present].any()
    weights = pretrain(build_network(TINY), Phantoms(missing=0.5), tmp_path, OPTIONS, config=config, validate_every=0)
    assert all(value.isfinite().all() for value in weights.values())


def test_step_draws_studies_with_a_modality_of_the_network(tmp_path):
    flair = replace(TINY, modalities=("FLAIR",))
    training_step = PretrainingStep(Phantoms(missing=0.6), SMALL, flair.modalities, "cpu")
    for step in range(10):
        batch = training_step.draw(np.random.default_rng((0, step)))
        assert batch.modalities == ("FLAIR",) and batch.present.all()

    class NeverFlair:
        def draw(self, rng):
            packed = phantom(0).packed.copy()
            packed[3] = 102  # nothing
            return Sample(packed)

    with pytest.raises(InputError, match="FLAIR"):
        pretrain(build_network(flair), NeverFlair(), tmp_path, OPTIONS, config=SMALL)


def test_draw_views_overlap_and_have_different_masks():
    config = replace(SMALL, view_size=(8, 8, 8), jitter=0.25, views=3, augmentation=PLAIN)
    # The first three modalities hold each voxel's index.
    packed = np.full((5, 24, 24, 24), 120, np.uint8)
    packed[:3] += np.indices((24, 24, 24), dtype=np.uint8)
    for seed in range(5):
        views = draw_views(Sample(packed, "one"), config, np.random.default_rng(seed))
        assert len(views) == 3 and len({view.subject for view in views}) == 1
        indices = [torch.round((view.images[:3] + 4) * 25.5) - 120 for view in views]
        inside = [(view.images[3] != 0) for view in views]
        directions = {
            bool((index[0, 1:] - index[0, :-1])[seen[1:] & seen[:-1]].mean() > 0)
            for index, seen in zip(indices, inside, strict=True)
        }
        assert len(directions) == 1
        middles = [index[:, seen].mean(dim=1) for index, seen in zip(indices, inside, strict=True)]
        assert all((one - two).abs().max() <= 4 for one in middles for two in middles)
        assert not torch.equal(views[0].visible, views[1].visible)
    noisy = replace(config, augmentation=Augmentation(noise=1.0))
    once, again = (draw_views(phantom(1), noisy, np.random.default_rng(3))[0] for _ in range(2))
    assert torch.equal(once.images, again.images)


def test_clean_target_is_without_intensity_augmentation():
    noisy = replace(SMALL, augmentation=replace(PLAIN, noise=1.0))
    (same, _), (clean, _) = (
        draw_views(phantom(1), config, np.random.default_rng(0))
        for config in (noisy, replace(noisy, clean_target=True))
    )
    assert torch.equal(same.images, same.targets)
    assert torch.equal(clean.images, same.images) and not torch.equal(clean.targets, same.targets)
    assert not clean.targets[:, ~(clean.images != 0).any(dim=0)].any()


def test_unit_range_views_range_from_0_to_1():
    config = replace(SMALL, unit_range=True, view_size=(24, 24, 24), augmentation=PLAIN)
    view, _ = draw_views(phantom(1), config, np.random.default_rng(0))
    for image in view.images:
        inside = image[(view.images != 0).any(dim=0)]
        assert inside.min() >= 0 and 0.9 < inside.max() <= 1


def test_presets_have_the_numbers_of_the_papers():
    config, loop = pretraining_preset("paper")
    assert (config.mask_ratio, config.block_size, config.temperature) == (0.75, 16, 0.1)
    assert (config.reconstruction, config.contrast, config.balance) == (1.0, 1.0, 0.01)
    assert config.unit_range and config.sparse and config.batch_size == 4 and config.jitter == 0.1
    assert (loop.optimizer, loop.learning_rate, loop.weight_decay) == ("adamw", 1e-4, 0.05)
    assert (loop.betas, loop.schedule, loop.clip_norm) == ((0.9, 0.999), "cosine", 1.0)
    spatial = config.augmentation
    assert (spatial.rotation_deg, spatial.scaling, spatial.shift) == (15.0, 0.1, 0.1)
    assert spatial.elastic > 0 and spatial.noise_range == (0.05, 0.05)
    amaes, _ = pretraining_preset("amaes")
    assert amaes.block_size == 4 and not amaes.sparse and amaes.light_decoder and amaes.clean_target
    with pytest.raises(InputError, match="magpie, paper, amaes"):
        pretraining_preset("nothing")


@pytest.mark.parametrize("name", PRETRAINING_PRESETS)
def test_pretrained_weights_start_a_segmentation_network(tmp_path, name):
    torch.manual_seed(0)
    config, loop = pretraining_preset(name)
    config = replace(config, view_size=(16, 16, 16), block_size=4, batch_size=2)
    network = build_network(TINY)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    options = replace(loop, budget_steps=4, precision="fp32", warmup_steps=0)
    weights = pretrain(network, Phantoms(), tmp_path / "run", options, config=config, validate_every=0)
    assert set(weights) == set(before)
    assert all(parameter.requires_grad for parameter in network.parameters())
    network(torch.randn(1, 4, 8, 8, 8), TINY.modalities)  # of another size than the views: the masking is removed
    changed = {key.split(".")[0] for key, value in weights.items() if not torch.equal(value, before[key])}
    assert changed == {"stem", "encoder"} | (set() if config.light_decoder else {"decoder"})
    description = ModelDescription(name="pretrained", version="1", license="Apache-2.0", network=TINY.to_dict())
    save_model(tmp_path / "model", description, weights, card="# pretrained")
    start = load_model(tmp_path / "model").network
    weights = train_on_cases(start, [phantom(0)], None, tmp_path / "fine-tuned", replace(OPTIONS, budget_steps=2))
    assert all(value.isfinite().all() for value in weights.values())


def test_command_writes_a_model(tmp_path, tiny_model):
    samples = tmp_path / "samples"
    samples.mkdir()
    for number in range(3):
        np.save(samples / f"slot_{number:05d}.npy", phantom(number, size=32).packed)
    command = ["train", "pretraining", "--dataset", str(samples), "--start", str(tiny_model), "--view-size", "16", "16"]
    command += ["16", "--steps", "3", "--validate-every", "3", "--device", "cpu", "--precision", "fp32"]
    done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "run"), "--deterministic"])
    assert done.exit_code == 0, done.output
    model = load_model(tmp_path / "run" / "model")
    assert model.description.name == "tiny-pretrained"
    assert model.description.training["steps"] == 3
    assert (tmp_path / "run" / "reconstruction_000003.png").is_file()
    wrong = CliRunner().invoke(app, [*command[:3], str(tmp_path / "run"), "-o", str(tmp_path / "other")])
    assert wrong.exit_code == 3 and "dataset prepare" in wrong.output
    by_clock = [*command, "--minutes", "1", "--deterministic", "-o", str(tmp_path / "other")]
    assert CliRunner().invoke(app, by_clock).exit_code == 3


def test_dataset_with_paper_intensities_needs_a_paper_preset(tmp_path):
    DatasetConfig(intensities="paper").write_or_check(tmp_path)
    with pytest.raises(InputError, match="--preset paper"):
        MixedSource([tmp_path], spacing_mm=2.0)
    source = MixedSource([tmp_path], spacing_mm=2.0, unit_range=True)
    with pytest.raises(InputError, match="no study"):
        source.draw(np.random.default_rng(0))
    images = np.zeros((4, 16, 16, 16), np.float32)
    images[:, 2:14, 2:14, 2:14] = PAPER_SCALE * np.linspace(0.01, 1, 12)[:, None, None]
    sample = Sample.pack(images, np.zeros((16,) * 3))
    view, _ = draw_views(sample, replace(SMALL, unit_range=True, augmentation=PLAIN), np.random.default_rng(0))
    torch.testing.assert_close(view.images.amax(), torch.tensor(1.0), atol=0.02, rtol=0)


def test_datasets_of_different_voxel_sizes_are_refused(tmp_path):
    for name, spacing_mm in (("fine", 1.0), ("usual", 2.0)):
        DatasetConfig(spacing_mm=spacing_mm).write_or_check(tmp_path / name)
    with pytest.raises(InputError, match=r"fine: The dataset has voxels of 1 mm"):
        MixedSource([tmp_path / "usual", tmp_path / "fine"], spacing_mm=2.0)


def test_dataset_finer_than_the_network_is_refused(tmp_path):
    DatasetConfig(spacing_mm=1.0).write_or_check(tmp_path)
    with pytest.raises(InputError, match=r"works at 2 mm.*--spacing-mm 2"):
        MixedSource([tmp_path], spacing_mm=2.0)


def test_file_that_is_no_sample_is_refused_by_name(tmp_path):
    np.save(tmp_path / "other.npy", np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"other\.npy"):
        MixedSource([tmp_path], spacing_mm=2.0).draw(np.random.default_rng(0))
    (tmp_path / "other.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"other\.npy"):
        MixedSource([tmp_path], spacing_mm=2.0).draw(np.random.default_rng(0))


def test_views_with_wrong_bf16_gradients_are_refused(tmp_path):
    options = replace(OPTIONS, precision="bf16")
    config = replace(SMALL, view_size=(4, 16, 16))
    with pytest.raises(InputError, match="fp32"):
        pretrain(build_network(TINY), Phantoms(), tmp_path, options, config=config)


@pytest.mark.parametrize("view_size", [(0, 0, 0), (-16, 16, 16), (2, 2, 2), (16, 16, 17)])
def test_views_that_do_not_fit_the_network_are_refused(tmp_path, view_size):
    with pytest.raises(InputError, match=" x ".join(map(str, view_size))):
        pretrain(
            build_network(TINY), Phantoms(), tmp_path, OPTIONS, config=replace(SMALL, view_size=view_size, block_size=2)
        )
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

    network_config = NetworkConfig(
        widths=(4, 8), encoder_blocks=(1, 1), decoder_blocks=(1,), refinement_channels=4, deep_supervision=0,
        experts=ExpertsConfig(blocks=(0, 1), experts=4, expansion=2.0),
    )

    class Phantoms:
        def draw(self, rng):
            study = np.random.default_rng(int(rng.integers(9)))
            return Sample.pack(study.standard_normal((4, 12, 12, 12)).clip(-3, 3), np.zeros((12, 12, 12)))

    def run(folder, steps, checkpoint_minutes):
        torch.manual_seed(5)
        config = PretrainingConfig(view_size=(8, 8, 8), block_size=2, augmentation=Augmentation(noise=0.5))
        options = LoopOptions(
            budget_steps=steps, precision="fp32", deterministic=True, log_every=10, warmup_steps=5, seed=2,
            checkpoint_minutes=checkpoint_minutes,
        )
        pretrain(build_network(network_config), Phantoms(), folder, options, config=config, validate_every=0)
    """
)

KILLS = HOME + textwrap.dedent(
    """
    base, steps = Path(sys.argv[1]), 200

    def process(folder):
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

    assert os.waitpid(process(base / "whole"), 0)[1] == 0
    rng = np.random.default_rng(7)
    killed = 0
    for lines in sorted(rng.integers(1, 18, 10)):
        pid = process(base / "killed")
        while logged(base / "killed") < lines:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05))
        os.kill(pid, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    assert os.waitpid(process(base / "killed"), 0)[1] == 0
    print(killed)
    """
)


def _process(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


def test_training_killed_ten_times_is_bit_identical(tmp_path):
    done = _process(KILLS, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 10
    whole, killed = (load_checkpoint(tmp_path / name) for name in ("whole", "killed"))
    assert whole["step"] == killed["step"] == 200
    for part in ("network", "ema"):
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


def test_full_disk_stops_training_and_keeps_the_last_checkpoint(tmp_path):
    done = _process(FULL, tmp_path)
    messages = done.stdout.splitlines()
    assert len(messages) == 2, done.stderr
    for what, message in zip(("checkpoint", "log"), messages, strict=True):
        assert message.startswith("ResourceError") and "disk" in message
        assert load_checkpoint(tmp_path / what)["step"] == 10
        assert [line["step"] for line in _lines(tmp_path / what)] == [10]
