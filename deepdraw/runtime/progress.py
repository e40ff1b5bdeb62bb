"""Progress: a live bar in a terminal, a line now and then elsewhere, and an early estimate of the training time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deepdraw.runtime.display import print_line, shown

LINE_EVERY = 10.0  # seconds between lines if the output is no terminal
DRAWN_EVERY = 0.25  # seconds between drawings of the bar, each of which takes about a millisecond of a core
WARM_UP_STEPS = 3  # the first steps compile, allocate and start workers, so they are not measured
WIDTHS = 8, 24  # characters of the bar: the least, which every terminal shows, and the most
TIME_WIDTH = len("-:--:--")
MEASURED = 10.0, 10  # the least seconds and steps that a forecast is based on

Item = TypeVar("Item")


class Bar:
    """Progress over `total` steps of `images` drawings each: speed, time left and the latest values.

    first: steps that were done before this run was resumed.
    """

    def __init__(self, title: str, total: int, images: int, first: int = 0, console: Console | None = None) -> None:
        self._title, self._total, self._images = shown(title), total, images
        self._first = self._done = first
        self._console = console or Console()
        self._is_live = self._console.is_terminal  # asked once: rich looks into the environment each time
        self._values: list[str] = []
        self._start = self._shown = time.perf_counter()
        self._live = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=self._bar_width()),
            MofNCompleteColumn(),
            TextColumn("{task.fields[values]}", markup=False),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._is_live,
            transient=True,
            auto_refresh=False,  # whose thread would take time from the steps
        )
        self._task = self._live.add_task(self._title, total=total, completed=first, values="")

    def __enter__(self) -> Bar:
        self._live.start()
        return self

    def show(self, values: Mapping[str, float]) -> None:
        """Show these values from now on. Names lose their prefix: `train/loss` becomes `loss`."""
        self._values = [f"{name.rpartition('/')[2]} {value:.3g}" for name, value in values.items()]

    def advance(self) -> None:
        """Count one step."""
        self._done += 1
        now = time.perf_counter()
        if now - self._shown < (DRAWN_EVERY if self._is_live else LINE_EVERY):
            return
        self._shown = now
        speed = self.images_per_second()
        rate = f"{speed:{',.0f' if speed >= 10 else '.2g'}} images/s"
        if self._is_live:
            values = "  ".join([*self._that_fit(rate), rate])
            self._live.update(self._task, completed=self._done, values=values, refresh=True)
        else:
            left = (now - self._start) / (self._done - self._first) * (self._total - self._done)
            values = "  ".join([*self._values, rate])
            line = f"{self._title}  {self._done}/{self._total}  {values}  {left:,.0f} s left"
            print_line(self._console, line)

    def _bar_width(self) -> int:
        """The more of the line it takes, the wider the terminal is: values come first."""
        least, most = WIDTHS
        return min(most, max(least, self._console.width - 104))

    def _that_fit(self, rate: str) -> list[str]:
        """The first values for which the line has room beside bar, step, rate and time left."""
        step = 2 * len(str(self._total)) + 1
        room = self._console.width - len(self._title) - self._bar_width() - step - len(rate) - TIME_WIDTH - 4
        return [
            value for n, value in enumerate(self._values) if sum(map(len, self._values[: n + 1])) + 2 * n + 2 <= room
        ]

    def images_per_second(self) -> float:
        """Drawings a second since the start."""
        elapsed = time.perf_counter() - self._start
        return (self._done - self._first) * self._images / max(elapsed, 1e-9)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()


def with_progress_bar(items: Iterable[Item], title: str, total: int, images: int) -> Iterator[Item]:
    """The items, while a bar counts how many of `total` the caller has finished, each of `images` drawings."""
    with Bar(title, total, images) as bar:
        for item in items:
            yield item
            bar.advance()


class Forecast:
    """Prints once, after the first steps, how long `steps` steps of `images` drawings each will take.

    Only training is counted, without validation. On a GPU the loop runs a few steps ahead of the device; enough steps
    are measured for this not to matter.
    """

    def __init__(self, steps: int, images: int, console: Console | None = None) -> None:
        self._steps, self._images = steps, images
        self._console = console or Console()
        self._done = 0
        self._start = self._waited = 0.0

    def watch(self, batches: Iterable[Item]) -> Iterator[Item]:
        """The batches, while the time spent waiting for them is measured."""
        iterator = iter(batches)
        while True:
            start = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self._waited += time.perf_counter() - start
            yield batch

    def advance(self) -> None:
        """Count one step, and after enough of them print the line."""
        self._done += 1
        now = time.perf_counter()
        if self._done == WARM_UP_STEPS:
            self._start, self._waited = now, 0.0
        measured, elapsed = self._done - WARM_UP_STEPS, now - self._start
        if measured < MEASURED[1] or elapsed < MEASURED[0] or self._done >= self._steps:
            return
        left = elapsed / measured * (self._steps - self._done)
        share = self._waited / elapsed
        hint = "; more data.num_workers would shorten it" if share > 0.2 else ""
        line = (
            f"training takes about {duration(left)} from here: {self._steps - self._done:,} steps, "
            f"{measured * self._images / elapsed:,.0f} images/s, {share:.0%} of it waiting for drawings{hint}"
        )
        print_line(self._console, line)
        self._steps = 0  # the line is printed only once


def duration(seconds: float) -> str:
    """Hours and minutes, minutes, or seconds."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if seconds >= 90 else f"{seconds:.0f} s"
