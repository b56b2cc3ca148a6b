"""Plot the training curves of a run from its log."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from magpie_core.storage.atomic import write_bytes
from magpie_core.training.run_log import read_log

_LOAD = re.compile(r"load_(\d+)_(\d+)")


def draw_training_curves(log: Path, path: Path) -> None:
    """Write a PNG of losses, expert load and entropy, learning rate and gradient norm over the steps.

    Nothing is written while the log, a run's `log.jsonl`, has no line (ResourceError if `path` cannot be written).
    """
    lines = read_log(log)
    if not lines:
        return
    names = list(lines[-1])
    figure = Figure(figsize=(11, 8), dpi=100)
    grid = figure.subplots(3, 2)
    for axes, pattern, title in (
        (grid[0, 0], "loss|reconstruction|contrast|dice_.*|validation_.*", "losses and Dice"),
        (grid[0, 1], "balance_.*", "load-balancing loss (1 is uniform)"),
        (grid[1, 1], "entropy_.*", "router entropy"),
        (grid[2, 0], "learning_rate", "learning rate"),
        (grid[2, 1], "gradient_norm", "gradient norm"),
    ):
        _curves(axes, lines, [name for name in names if re.fullmatch(pattern, name)], title)
    _loads(grid[1, 0], lines, names)
    figure.tight_layout()
    write_figure(figure, path)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, atomically (ResourceError if it cannot be written)."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream)
    write_bytes(path, stream.getvalue())


def _curves(axes: Axes, lines: list[dict[str, float]], names: list[str], title: str) -> None:
    for name in names:
        present = [line for line in lines if name in line]
        axes.plot([line["step"] for line in present], [line[name] for line in present], label=name, linewidth=1)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=7)
    if len(names) > 1:
        axes.legend(fontsize=7)


def _loads(axes: Axes, lines: list[dict[str, float]], names: list[str]) -> None:
    """Plot the fraction of assignments to each expert, a row each, over the lines of the log."""
    experts = sorted((int(found[1]), int(found[2])) for name in names if (found := _LOAD.fullmatch(name)))
    axes.set_title("expert load (layer.expert)", fontsize=9)
    if not experts:
        axes.set_axis_off()
        return
    fractions = np.array([[line.get(f"load_{layer}_{expert}", np.nan) for line in lines] for layer, expert in experts])
    first, last = lines[0]["step"], lines[-1]["step"]
    image = axes.imshow(
        fractions,
        aspect="auto",
        vmin=0,
        cmap="viridis",
        interpolation="nearest",
        extent=(first, max(last, first + 1), len(experts) - 0.5, -0.5),
    )
    every = max(1, len(experts) // 12)
    axes.set_yticks(range(0, len(experts), every), [f"{a}.{b}" for a, b in experts[::every]], fontsize=6)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlabel("step", fontsize=8)
    axes.figure.colorbar(image, ax=axes)
