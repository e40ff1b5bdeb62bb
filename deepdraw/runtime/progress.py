"""A live bar in a terminal, a line now and then where the output is none."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 10.0  # seconds between lines where there is no terminal


class Bar:
    """Progress over `total` steps of `images` drawings each: rate, time left and the latest values.

    first: steps done before, by the run that is resumed.
    """

    def __init__(self, title: str, total: int, images: int, first: int = 0, console: Console | None = None) -> None:
        self._title, self._total, self._images = title, total, images
        self._first = self._done = first
        self._console = console or Console()
        self._values = ""
        self._start = self._shown = time.perf_counter()
        self._live = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[values]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._live.add_task(title, total=total, completed=first, values="")

    def __enter__(self) -> Bar:
        self._live.start()
        return self

    def show(self, values: Mapping[str, float]) -> None:
        """Show these values from now on, without the prefix of their names."""
        self._values = "  ".join(f"{name.rpartition('/')[2]} {value:.3g}" for name, value in values.items())

    def advance(self) -> None:
        """Count one step."""
        self._done += 1
        now = time.perf_counter()
        speed = self.images_per_second()
        shown = f"{self._values}  {speed:{',.0f' if speed >= 10 else '.2g'}} images/s"
        self._live.update(self._task, advance=1, values=shown)
        if not self._console.is_terminal and now - self._shown >= LINE_EVERY:
            self._shown = now
            left = (now - self._start) / (self._done - self._first) * (self._total - self._done)
            line = f"{self._title}  {self._done}/{self._total}  {shown}  {left:,.0f} s left"
            self._console.print(line, soft_wrap=True, highlight=False)

    def images_per_second(self) -> float:
        """Drawings a second since the start."""
        elapsed = time.perf_counter() - self._start
        return (self._done - self._first) * self._images / max(elapsed, 1e-9)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()
