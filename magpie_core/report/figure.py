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
    """Return the values to draw black and white: percentiles 1 and 99.5 of what is not background."""
    if not image.any():
        return 0.0, 1.0
    low, high = np.percentile(image[image != image.flat[0]], [1, 99.5])
    return float(low), float(high)


def add_footer(figure: Figure, text: str = "") -> None:
    """Write a line at the lower left: a text, MAGPIE's version and the statement of use."""
    line = f"{text} MAGPIE {__version__}. {RESEARCH_USE}".strip()
    figure.text(0.01, 0.008, line, color=DIM, fontsize=8)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a PNG that names MAGPIE's version, atomically (ResourceError if it cannot be written)."""
    stream = BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": f"MAGPIE {__version__}"})
    write_bytes(path, stream.getvalue())
