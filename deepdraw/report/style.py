"""The style of pictures: colors, axes, and PNG files with a title and a description."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deepdraw.runtime import shown, whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

# Of Okabe and Ito, whose colors color-blind readers tell apart.
BLUE, VERMILION, GREEN, SKY = "#0072B2", "#D55E00", "#009E73", "#56B4E9"
INK, FAINT, GRID = "#333333", "#767676", "#E6E6E6"

WIDE, HALF = 11.4, 5.6  # inches: a whole line of the report, and half of one
DPI = 144
_NUM_COLORS = 128


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, its title and one or two sentences for those who cannot see it."""

    image: Image
    title: str
    description: str

    def save(self, path: Path) -> None:
        """Write a PNG of 128 colors, a third of the size that all colors take, with title and text inside."""
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        text = PngInfo()
        text.add_itxt("Title", shown(self.title))
        text.add_itxt("Description", shown(self.description))
        few = self.image.convert("RGB").quantize(_NUM_COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        with whole_file(path) as file:
            few.save(file, format="PNG", pnginfo=text, dpi=(DPI, DPI))


@contextmanager
def own_style() -> Iterator[None]:
    """Draw as matplotlib does without any setting: not in the style of the user's matplotlibrc or notebook.

    Missing fonts are replaced without a word for each: matplotlib's list of fonts may be of another environment.
    """
    matplotlib = import_matplotlib()
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.ERROR)
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            yield
    finally:
        fonts.setLevel(level)


def import_matplotlib() -> Any:
    """The module matplotlib. A notebook's MPLBACKEND, which need not exist in this process, does not end its import."""
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    return matplotlib


@contextmanager
def may_fail(name: object) -> Iterator[None]:
    """Draw a picture of this name. If it cannot be drawn, a line says so and the results are written all the same.

    Errors of the disk and of memory go on: they would end the results, too.
    """
    try:
        yield
    except Exception as error:  # whatever a drawing library raises
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
            raise
        print(f"warning: {shown(name)} could not be drawn ({type(error).__name__}: {shown(error, 200)})")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` by `height` inches, which is shown in no window."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def finished(figure: Figure, title: str, about: str) -> Picture:
    """The figure drawn, with the title above it."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.suptitle(title, x=0.012, horizontalalignment="left", fontsize=12, fontweight="bold", color=INK)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Picture(Image.fromarray(np.asarray(canvas.buffer_rgba())), title, about)


def style_axes(
    axes: Axes, title: str = "", *, x: str = "", y: str = "", grid: Literal["both", "x", "y"] = "both"
) -> None:
    """Give axes the titles of axis `x` and `y`, a faint grid along `grid` and a legend where lines have labels."""
    axes.set_title(title, color=INK, fontsize=10)
    axes.set_xlabel(x, color=INK, fontsize=9)
    axes.set_ylabel(y, color=INK, fontsize=9)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color(FAINT)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK)


def percent(value: float, _: object = None) -> str:
    """0.125 as "12.5 %"; also a formatter of ticks."""
    return f"{100 * value:.3g} %"
