"""A drawn figure as a file."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from magpie_core import __version__
from magpie_core.storage.atomic import write_bytes


def write_picture(figure: Figure, path: Path) -> None:
    """Write a PNG that says which version drew it, whole or not at all (ResourceError if it cannot be written)."""
    stream = BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": f"MAGPIE {__version__}"})
    write_bytes(path, stream.getvalue())
