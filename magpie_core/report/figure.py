"""What all figures of a report share: gray range, colors, footer, file."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from magpie_core import RESEARCH_USE, __version__
from magpie_core.imaging.glioma import Tissue
from magpie_core.storage.atomic import write_bytes

DIM = "#9a9a9a"


def tissue_color(tissue: Tissue) -> tuple[float, float, float]:
    """Return the color of a tissue as RGB, 0 to 1."""
    red, green, blue = (value / 255 for value in tissue.color)
    return red, green, blue


def gray_range(image: np.ndarray) -> tuple[float, float]:
    """Return the values of an image (I, J, K) to draw black and white, from its brighter part."""
    values = np.asarray(image)[::2, ::2, ::2].astype(np.float32)
    background = 0.08 * float(np.percentile(values, 99.5))
    inside = values[values > background]
    if inside.size == 0:
        return float(values.min()), float(values.max()) + 1.0
    low, high = np.percentile(inside, (1.0, 99.7))
    return max(float(low - 0.15 * (high - low)), float(values.min())), float(high + 0.08 * (high - low))


def add_footer(figure: Figure, text: str = "") -> None:
    """Write a line at the lower left: a text, MAGPIE's version and the statement of use."""
    line = f"{text} MAGPIE {__version__}. {RESEARCH_USE}".strip()
    figure.text(0.01, 0.008, line, color=DIM, fontsize=8)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a PNG that names MAGPIE's version, atomically (ResourceError if it cannot be written)."""
    stream = BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": f"MAGPIE {__version__}"})
    write_bytes(path, stream.getvalue())
