"""Train the brain-extraction network on synthetic heads alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from safetensors.torch import save_file
from torch import Tensor

from magpie_core.preprocessing.brain_extraction import SHAPE, SPACING_MM, brain_network, scale_head, window_center
from magpie_core.storage.manifest import write_manifest
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.generator import GliomaGenerator
from magpie_core.synthesis.volume_operations import rotation_matrix
from magpie_core.training.checkpoints import load_checkpoint
from magpie_core.training.loop import Progress, StepOutput, optimize
from magpie_core.training.loop_options import LoopOptions

_CANVAS = (64, 76, 72)
_BUFFERED_STUDIES = 150  # of four images each
_FIRST_STUDIES = 8
_STEPS_PER_STUDY = 3
_BATCH_SIZE = 2


class HeadSource:
    """A FIFO buffer of synthetic heads: images (1, D, H, W) float32 and brain masks (1, D, H, W) of 0 and 1."""

    def __init__(self, anatomy: Anatomy, seed: int) -> None:
        self._generator = GliomaGenerator(anatomy, spacing_mm=SPACING_MM, shape=_CANVAS, whole_head=True)
        self._seed = seed
        self._made = 0
        self._buffer: list[tuple[np.ndarray, np.ndarray]] = []

    def make(self, number: int) -> None:
        """Make all studies up to `number`; the oldest leave the buffer."""
        while self._made <= number:
            (study,) = self._generator.sample(self._seed + self._made)
            self._buffer.append((study.images.astype(np.float16), study.brain))
            del self._buffer[:-_BUFFERED_STUDIES]
            self._made += 1

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw one image of one study, with a random affine, crop and intensity transform."""
        images, brain = self._buffer[rng.integers(len(self._buffer))]
        image = scale_head(images[rng.integers(len(images))].astype(np.float32))
        both = torch.from_numpy(np.stack([image, brain.astype(np.float32)]))
        both = _random_affine(both, rng)
        cropped = _random_crop(both, window_center(both[0].numpy()), rng)
        return _random_intensities(cropped[:1], rng), (cropped[1:] > 0.5).float()


class HeadStep:
    """A training step: a batch of heads, cross-entropy and soft Dice; new heads are made as it is called."""

    def __init__(self, source: HeadSource) -> None:
        self._source = source
        self._calls = 0

    def __call__(self, forward: Callable[..., Any], progress: float, rng: np.random.Generator) -> StepOutput:
        """Compute the loss of one batch."""
        self._source.make(_FIRST_STUDIES + self._calls // _STEPS_PER_STUDY)
        self._calls += 1
        drawn = [self._source.draw(rng) for _ in range(_BATCH_SIZE)]
        images, brains = (torch.stack(list(part)) for part in zip(*drawn, strict=True))
        logits = forward(images)
        probability = logits.sigmoid()
        dice = 2 * (probability * brains).sum() / (probability.sum() + brains.sum() + 1)
        loss = functional.binary_cross_entropy_with_logits(logits, brains) * 4 + 1 - dice
        return StepOutput(loss, {"dice": dice.detach()})


def train_brain_extraction(
    anatomy: Path | None,
    folder: Path,
    *,
    minutes: float,
    steps: int = 1_000_000,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> Path:
    """Train for so many minutes or steps, or resume a training in `folder`; return the folder of the weights."""
    options = LoopOptions(
        budget_steps=steps,
        budget_minutes=minutes,
        learning_rate=2e-3,
        warmup_steps=50,
        betas=(0.9, 0.999),
        clip_norm=2.0,
        ema_decay=0.995,
        checkpoint_minutes=2.0,
        precision="fp32",
        seed=seed,
    )
    torch.manual_seed(seed)
    # A resumed training makes studies that it has not seen.
    steps_before = int((load_checkpoint(folder) or {"step": 0})["step"])
    source = HeadSource(Anatomy.find(anatomy), seed + steps_before)
    weights = optimize(brain_network(), HeadStep(source), folder, options, on_progress=on_progress)
    target = folder / "weights"
    target.mkdir(exist_ok=True)
    halves = {name: value.half().contiguous() for name, value in weights.items()}
    save_file(halves, target / "weights.safetensors")
    steps_trained = int((load_checkpoint(folder) or {})["step"])
    (target / "card.md").write_text(
        f"# Brain extraction\n\nA small network that extracts the brain from images of the whole head. "
        f"Trained for {steps_trained} steps on synthetic heads alone (seed {seed}). Apache-2.0. "
        f"Research use only, not for clinical decisions.\n",
        encoding="utf-8",
    )
    write_manifest(target)
    return target


def _random_affine(both: Tensor, rng: np.random.Generator) -> Tensor:
    """Flip, rotate by up to about 25 degrees, scale and shift (2, D, H, W)."""
    matrix = rotation_matrix(rng.normal(0, 0.15, 3)) * rng.lognormal(0, 0.08)
    if rng.random() < 0.5:
        matrix[0] *= -1
    size = np.array(both.shape[1:], float)
    # Normalized coordinates run along W, H, D.
    theta = np.zeros((3, 4))
    theta[:, :3] = (matrix * size[None, :] / size[:, None])[::-1, ::-1]
    theta[:, 3] = rng.normal(0, 0.04, 3)
    grid = functional.affine_grid(torch.from_numpy(theta[None]).float(), [1, 2, *both.shape[1:]], align_corners=False)
    return functional.grid_sample(both[None], grid, align_corners=False)[0]


def _random_crop(both: Tensor, center: tuple[float, float, float], rng: np.random.Generator) -> Tensor:
    """Crop to the network's input (2, *SHAPE), a little off the center, sometimes with a part out of view."""
    cropped = torch.zeros(2, *SHAPE)
    source, target = [], []
    for middle, size, extent in zip(center, SHAPE, both.shape[1:], strict=True):
        first = round(middle - size / 2 + rng.normal(0, 1.5))
        start, stop = max(first, 0), min(first + size, extent)
        source.append(slice(start, stop))
        target.append(slice(start - first, stop - first))
    cropped[:, target[0], target[1], target[2]] = both[:, source[0], source[1], source[2]]
    if rng.random() < 0.25:
        axis, end = rng.integers(3), rng.random() < 0.5
        size = SHAPE[axis]
        lost = int(rng.uniform(0.05, 0.3) * size)
        cropped.narrow(1 + axis, size - lost if end else 0, lost).zero_()
    return cropped


def _random_intensities(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Apply a random gamma or, sometimes, a random intensity curve that may invert the contrast; add noise."""
    if rng.random() < 0.3:
        knots = torch.from_numpy(np.concatenate([[rng.uniform(0, 0.1)], rng.uniform(0, 1, 6)])).float()
        position = (image / 1.5 * 6).clamp(0, 5.999)
        low = position.long()
        image = torch.lerp(knots[low], knots[low + 1], position - low)
    else:
        image = image.clamp_min(0) ** float(rng.lognormal(0, 0.25))
    noise = torch.from_numpy(rng.standard_normal(image.shape, np.float32))
    image = image + noise * abs(float(rng.normal(0, 0.02)))
    return torch.from_numpy(scale_head(image.numpy()[0]))[None]
