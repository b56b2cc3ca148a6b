"""A picture of how a training goes, from its log."""

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
    """Write a PNG of losses, experts' loads and entropy, learning rate and gradient norm over the steps.

    Parameters
    ----------
    log
        A run's `log.jsonl`.
    path
        File to write; complete or not at all. Nothing is written while the log has no line.

    Raises
    ------
    ResourceError
        If it cannot be written.
    """
    lines = read_log(log)
    if not lines:
        return
    names = list(lines[-1])
    losses = [
        name
        for name in names
        if name in ("loss", "reconstruction", "contrast") or name.startswith(("dice_", "validation_"))
    ]
    figure = Figure(figsize=(11, 8), dpi=100)
    grid = figure.subplots(3, 2)
    _curves(grid[0, 0], lines, losses, "losses and scores")
    _curves(grid[0, 1], lines, [name for name in names if name.startswith("balance_")], "balance (1 is even)")
    _loads(grid[1, 0], lines, names)
    _curves(
        grid[1, 1], lines, [name for name in names if name.startswith("entropy_")], "entropy of the routers"
    )
    _curves(grid[2, 0], lines, ["rate"], "learning rate")
    _curves(grid[2, 1], lines, ["gradient_norm"], "gradient norm")
    figure.tight_layout()
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream)
    write_bytes(path, stream.getvalue())


def _curves(axes: Axes, lines: list[dict[str, float]], names: list[str], title: str) -> None:
    for name in names:
        having = [line for line in lines if name in line]
        axes.plot([line["step"] for line in having], [line[name] for line in having], label=name, linewidth=1)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=7)
    if len(names) > 1:
        axes.legend(fontsize=7)


def _loads(axes: Axes, lines: list[dict[str, float]], names: list[str]) -> None:
    """Share of the choices that fell on each expert, a row each, over the lines of the log."""
    experts = sorted((int(found[1]), int(found[2])) for name in names if (found := _LOAD.fullmatch(name)))
    axes.set_title("load of each expert (layer.expert)", fontsize=9)
    if not experts:
        axes.set_axis_off()
        return
    shares = np.array(
        [[line.get(f"load_{layer}_{expert}", np.nan) for line in lines] for layer, expert in experts]
    )
    first, last = lines[0]["step"], lines[-1]["step"]
    image = axes.imshow(
        shares,
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
