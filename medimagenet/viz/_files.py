"""Figures without pyplot's global state, written whole or not at all."""

import contextlib
import os
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 64  # a power of two: pixels / DPI inches times DPI is exactly the number of pixels again
POINTS_PER_PIXEL = 72 / DPI


def new_figure(width_px: int, height_px: int) -> Figure:
    """An empty white figure that draws itself with Agg: no display, no window, safe in threads."""
    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def write_png(figure: Figure, path: Path) -> None:
    """Write the figure; the same figure gives the same bytes, as neither time nor program goes into the file.

    Raises
    ------
    OSError
        It cannot be written; with its path, which a full disk does not tell by itself.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # its folder may be what is wrong
            temporary.unlink(missing_ok=True)
