"""Teaching the brain mask's network from synthetic heads alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from safetensors.torch import save_file
from torch import Tensor

from magpie_core.preprocessing.brain_extraction import (
    SHAPE,
    SPACING_MM,
    brain_network,
    scale_head,
    window_center,
)
from magpie_core.storage.manifest import write_manifest
from magpie_core.synthesis.anatomy import Anatomy
from magpie_core.synthesis.generator import GliomaGenerator
from magpie_core.training.checkpoints import load_checkpoint, save_checkpoint

_CANVAS = (64, 76, 72)
_POOL = 150  # studies of four images each
_STEPS_PER_STUDY = 3
_BATCH = 2


class HeadSource:
    """Windows of synthetic heads: images (1, D, H, W) float32 and brains (1, D, H, W) of 0 and 1."""

    def __init__(self, anatomy: Anatomy, seed: int) -> None:
        self._generator = GliomaGenerator(anatomy, spacing_mm=SPACING_MM, shape=_CANVAS, whole_head=True)
        self._seed = seed
        self._made = 0
        self._pool: list[tuple[np.ndarray, np.ndarray]] = []

    def make(self, number: int) -> None:
        """Replace the oldest study by study `number`, unless that is there."""
        while self._made <= number:
            (study,) = self._generator.sample(self._seed + self._made)
            self._pool.append((study.images.astype(np.float16), study.brain))
            del self._pool[:-_POOL]
            self._made += 1

    def draw(self, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One image of one study, turned, cut and recolored."""
        images, brain = self._pool[random.integers(len(self._pool))]
        image = scale_head(images[random.integers(len(images))].astype(np.float32))
        both = torch.from_numpy(np.stack([image, brain.astype(np.float32)]))
        both = _turned(both, random)
        placed = _window(both, window_center(both[0].numpy()), random)
        return _recolored(placed[:1], random), (placed[1:] > 0.5).float()


def train_brain_extraction(
    anatomy: Path | None,
    folder: Path,
    *,
    minutes: float,
    steps: int = 1_000_000,
    seed: int = 0,
    rate: float = 2e-3,
    on_progress: Callable[[float, dict[str, float]], None] | None = None,
) -> Path:
    """Teach the network for so long or so many steps; an interrupted training in `folder` goes on.

    Returns
    -------
    Path
        The folder of weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network = brain_network()
    averaged = deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    step, spent_s = 0, 0.0
    state = load_checkpoint(folder)
    if state is not None:
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent_s = int(state["step"]), float(state["spent_s"])
    source = HeadSource(Anatomy.find(anatomy), seed + step)
    start = saved = time.monotonic()
    first = step
    figures = {"loss": 0.0, "dice": 0.0}
    while True:
        elapsed_s = spent_s + time.monotonic() - start
        spent = max(elapsed_s / (60 * minutes), step / steps)
        if spent >= 1:
            break
        source.make(8 + (step - first) // _STEPS_PER_STUDY)
        random = np.random.default_rng((seed, step))
        drawn = [source.draw(random) for _ in range(_BATCH)]
        images, brains = (torch.stack(list(part)) for part in zip(*drawn, strict=True))
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50) * (0.5 + 0.5 * math.cos(math.pi * spent))
        logits = network(images)
        likely = logits.sigmoid()
        dice = 2 * (likely * brains).sum() / (likely.sum() + brains.sum() + 1)
        loss = functional.binary_cross_entropy_with_logits(logits, brains) * 4 + 1 - dice
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        decay = min(0.995, (1 + step) / (10 + step))
        with torch.no_grad():
            for average, value in zip(averaged.parameters(), network.parameters(), strict=True):
                average.lerp_(value, 1 - decay)
        step += 1
        for key, value in (("loss", loss), ("dice", dice)):
            figures[key] += (float(value.detach()) - figures[key]) * (0.02 if step - first > 1 else 1.0)
        if step % 50 == 0 and on_progress:
            on_progress(spent, figures | {"step": step})
        if time.monotonic() - saved > 120:
            _save(folder, network, averaged, optimizer, step, elapsed_s)
            saved = time.monotonic()
    _save(folder, network, averaged, optimizer, step, spent_s + time.monotonic() - start)
    target = folder / "weights"
    target.mkdir(exist_ok=True)
    halves = {name: value.half().contiguous() for name, value in averaged.state_dict().items()}
    save_file(halves, target / "weights.safetensors")
    (target / "card.md").write_text(
        f"# Brain mask\n\nA small network that finds the brain in images of the whole head, of any contrast. "
        f"Taught {step} steps by synthetic heads alone (seed {seed}). Apache-2.0. "
        f"Research use only, not for clinical decisions.\n",
        encoding="utf-8",
    )
    write_manifest(target)
    return target


def _save(
    folder: Path,
    network: torch.nn.Module,
    averaged: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    spent_s: float,
) -> None:
    state = {"network": network.state_dict(), "averaged": averaged.state_dict()}
    save_checkpoint(folder, state | {"optimizer": optimizer.state_dict(), "step": step, "spent_s": spent_s})


def _turned(both: Tensor, random: np.random.Generator) -> Tensor:
    """Mirrored, turned by up to about 25 degrees and scaled, (2, D, H, W)."""
    angles = random.normal(0, 0.15, 3)
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        one, other = [a for a in range(3) if a != axis]
        turn[one, one] = turn[other, other] = math.cos(angle)
        turn[one, other], turn[other, one] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    matrix = matrix * random.lognormal(0, 0.08)
    if random.random() < 0.5:
        matrix[0] *= -1
    size = np.array(both.shape[1:], float)
    # Normalized coordinates run along W, H, D.
    theta = np.zeros((3, 4))
    theta[:, :3] = (matrix * size[None, :] / size[:, None])[::-1, ::-1]
    theta[:, 3] = random.normal(0, 0.04, 3)
    grid = functional.affine_grid(
        torch.from_numpy(theta[None]).float(), [1, 2, *both.shape[1:]], align_corners=False
    )
    return functional.grid_sample(both[None], grid, align_corners=False)[0]


def _window(both: Tensor, center: tuple[float, float, float], random: np.random.Generator) -> Tensor:
    """What the network will see (2, *SHAPE), a little off the center, sometimes with a part out of view."""
    placed = torch.zeros(2, *SHAPE)
    source, target = [], []
    for middle, size, extent in zip(center, SHAPE, both.shape[1:], strict=True):
        first = round(middle - size / 2 + random.normal(0, 1.5))
        start, stop = max(first, 0), min(first + size, extent)
        source.append(slice(start, stop))
        target.append(slice(start - first, stop - first))
    placed[slice(None), target[0], target[1], target[2]] = both[slice(None), source[0], source[1], source[2]]
    if random.random() < 0.25:
        axis, end = random.integers(3), random.random() < 0.5
        size = SHAPE[axis]
        lost = int(random.uniform(0.05, 0.3) * size)
        placed.narrow(1 + axis, size - lost if end else 0, lost).zero_()
    return placed


def _recolored(image: Tensor, random: np.random.Generator) -> Tensor:
    """Another gamma; now and then a random scale of grays, bright and dark exchanged too."""
    if random.random() < 0.3:
        knots = torch.from_numpy(np.concatenate([[random.uniform(0, 0.1)], random.uniform(0, 1, 6)])).float()
        place = (image / 1.5 * 6).clamp(0, 5.999)
        low = place.long()
        image = torch.lerp(knots[low], knots[low + 1], place - low)
    else:
        image = image.clamp_min(0) ** float(random.lognormal(0, 0.25))
    noise = torch.from_numpy(random.standard_normal(image.shape, np.float32))
    image = image + noise * abs(float(random.normal(0, 0.02)))
    scaled = image.numpy()[0]
    return torch.from_numpy(scale_head(scaled))[None]
