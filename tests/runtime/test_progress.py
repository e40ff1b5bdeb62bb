"""The bar: live in a terminal, a line now and then without one."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from deepdraw.runtime import progress
from deepdraw.runtime.progress import Bar, Forecast, with_progress_bar


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only as the test says."""

    class Clock:
        now = 1000.0

        def perf_counter(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def shown(clock, *, terminal: bool, steps: int, seconds: float, first: int = 0, width: int = 100) -> str:
    """What `steps` of `seconds` each, of 320 drawings each, write."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=width)
    with Bar("epoch 1/2", first + steps, 320, first=first, console=console) as bar:
        bar.show({"train/loss": 1.23456, "optim/lr": 2e-4})
        for _ in range(steps):
            clock.now += seconds
            bar.advance()
    return output.getvalue()


def test_without_a_terminal_a_line_says_it_all_and_nothing_else_is_written(clock):
    text = shown(clock, terminal=False, steps=8, seconds=5.0)
    assert text.splitlines() == [
        "epoch 1/2  2/8  loss 1.23  lr 0.0002  64 images/s  30 s left",
        "epoch 1/2  4/8  loss 1.23  lr 0.0002  64 images/s  20 s left",
        "epoch 1/2  6/8  loss 1.23  lr 0.0002  64 images/s  10 s left",
        "epoch 1/2  8/8  loss 1.23  lr 0.0002  64 images/s  0 s left",
    ]


def test_a_line_is_one_line_however_narrow_the_output_is_taken_to_be(clock):
    assert len(shown(clock, terminal=False, steps=2, seconds=5.0, width=20).splitlines()) == 1


def test_without_a_terminal_quick_work_is_silent(clock):
    assert shown(clock, terminal=False, steps=100, seconds=0.05) == ""


def test_a_terminal_sees_steps_values_and_rate_and_is_left_clean(clock):
    text = shown(clock, terminal=True, steps=4, seconds=2.0)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    for part in ("epoch 1/2", "4/4", "loss 1.23", "lr 0.0002", "160 images/s"):
        assert part in plain
    assert text.endswith("\x1b[2K")  # the bar's line is erased at the end
    assert "s left" not in plain


def test_a_terminal_is_drawn_a_few_times_a_second_however_fast_the_steps_are(clock):
    text = shown(clock, terminal=True, steps=1000, seconds=0.001)
    assert 3 <= text.count("epoch 1/2") <= 6


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_line_of_a_terminal_keeps_bar_step_rate_and_time_left_at_any_width(clock, width):
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=width)
    with Bar("epoch 10/12", 4300, 320, console=console) as bar:
        bar.show({"train/loss": 1.23456, "train/top1": 0.523, "optim/lr": 2e-4, "optim/backbone_lr": 1.25e-6})
        for _ in range(3):
            clock.now += 0.1
            bar.advance()
        bar._live.refresh()
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output.getvalue())
    line = re.split(r"[\r\n]+", plain.rstrip())[-1]
    assert len(line) <= width
    for part in ("epoch 10/12", "━━━━━━━━", "3/4300", "3,200 images/s", "loss 1.23"):
        assert part in line
    assert re.search(r"\d:\d\d:\d\d|-:--:--", line)
    assert ("backbone_lr" in line) == (width >= 120)


def test_a_resumed_epoch_counts_from_where_it_goes_on_and_rates_its_own_steps(clock):
    text = shown(clock, terminal=False, steps=2, seconds=10.0, first=5)
    assert text.splitlines() == [
        "epoch 1/2  6/7  loss 1.23  lr 0.0002  32 images/s  10 s left",
        "epoch 1/2  7/7  loss 1.23  lr 0.0002  32 images/s  0 s left",
    ]


def test_the_rate_is_drawings_a_second(clock):
    with Bar("test", 10, 64, console=Console(file=io.StringIO())) as bar:
        for _ in range(5):
            clock.now += 0.5
            bar.advance()
        assert bar.images_per_second() == pytest.approx(128)


def test_the_bar_ends_with_an_error_inside(clock):
    output = io.StringIO()
    with pytest.raises(RuntimeError), Bar("test", 9, 1, console=Console(file=output, force_terminal=True)):
        raise RuntimeError
    assert output.getvalue().count("\x1b[?25h") == 1  # the cursor is shown again


def forecast(clock, *, steps: int, taken: int, drawing: float, training: float) -> str:
    """What is told of a run of `steps` by the time it has `taken` some, of 64 drawings each."""
    output = io.StringIO()

    def draw():
        while True:
            clock.now += drawing
            yield "batch"

    told = Forecast(steps, 64, Console(file=output, width=100))
    batches = told.watch(draw())
    for step in range(taken):
        assert next(batches) == "batch"
        clock.now += training if step >= 3 else 100  # the first steps compile
        told.advance()
    return output.getvalue()


def test_items_are_counted_when_one_is_done_with_them(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    assert list(with_progress_bar(iter("ab"), "letters", 2, images=5)) == ["a", "b"]
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("letters  1/2") and second.startswith("letters  2/2")


def test_the_training_time_is_estimated_once_from_the_first_steps(clock):
    line = forecast(clock, steps=10_000, taken=100, drawing=0.02, training=0.98)
    assert line.startswith("training takes about 2 h 46 min from here: 9,987 steps, 64 images/s, ")
    assert line.endswith("2% of it waiting for drawings\n")


def test_a_run_that_waits_for_drawings_suggests_more_workers(clock):
    assert forecast(clock, steps=100, taken=50, drawing=0.5, training=0.5).endswith(
        "50% of it waiting for drawings; more data.num_workers would shorten it\n"
    )


@pytest.mark.parametrize(("steps", "told"), [(10, 0), (13, 0), (30, 1)])
def test_a_run_too_short_to_measure_prints_no_estimate(clock, steps, told):
    assert forecast(clock, steps=steps, taken=steps, drawing=0, training=2).count("\n") == told


def test_a_narrow_terminal_breaks_the_estimate_between_words(clock):
    output = io.StringIO()
    told = Forecast(10_000, 64, Console(file=output, width=60, force_terminal=True))
    for _ in range(100):
        clock.now += 1.0
        told.advance()
    first, second = output.getvalue().splitlines()
    assert len(first) <= 60 and len(second) <= 60
    assert f"{first.rstrip()} {second}".endswith("9,987 steps, 64 images/s, 0% of it waiting for drawings")


def test_watched_batches_end_where_the_batches_end():
    assert list(Forecast(3, 1).watch(["a", "b"])) == ["a", "b"]
