"""Options of a command, written as key=value: typed, explained, and refused in one line."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field

import pytest
from omegaconf import MISSING

from deepdraw.runtime.options import as_called, one_line_end, parse, run_command, usage


@dataclass
class Options:
    root: str = field(default=MISSING, metadata={"help": "directory of the drawings"})
    size: int = field(default=3, metadata={"help": "pixels"})
    limit: int | None = field(default=None, metadata={"help": "drawings; default: all"})

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size={self.size} is too small: give at least 1")


def test_values_take_the_types_of_their_options():
    assert parse(Options, ["root=a=b", "size=4"]) == Options(root="a=b", size=4, limit=None)
    home = os.path.expanduser("~/x y")
    assert parse(Options, ["root=~/x y", "limit=7"]) == Options(root=home, size=3, limit=7)
    assert parse(Options, ["root=/ä/(1), v=2 ~/"]).root == "/ä/(1), v=2 ~/"
    for address in ("s3://bucket/x", "gs://bucket"):
        with pytest.raises(ValueError, match=f"^root={address} is an address"):
            parse(Options, [f"root={address}"])


def test_the_last_of_two_values_counts():
    assert parse(Options, ["root=a", "root=b"]).root == "b"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("siez=3", r"unknown option 'siez': did you mean size=...\? The options are root, size, limit"),
        ("--help-me", "unknown option '--help-me'"),
        ("root", r"option root has no value: write root=..."),
        ("root=a size=many", "^size=many must be a whole number$"),
        ("size=1", r"option root is missing: write root=... \(directory of the drawings\)"),
        ("root=a size=0", "size=0 is too small: give at least 1"),
    ],
)
def test_impossible_options_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as refused:
        parse(Options, arguments.split())
    assert "\n" not in str(refused.value)


def test_help_gives_every_option_its_meaning_and_its_default_once():
    assert usage(Options, "python -m deepdraw root=DIR").splitlines() == [
        "usage: python -m deepdraw root=DIR",
        "  root=         directory of the drawings",
        "  size=         pixels; default: 3",
        "  limit=        drawings; default: all",
    ]


def test_bad_input_ends_the_command_with_one_line():
    with pytest.raises(SystemExit, match=r"^error: no such drawing$"), one_line_end("stopped"):
        raise ValueError("no such\ndrawing")


def test_bad_input_that_a_worker_met_is_the_same_line():
    with pytest.raises(SystemExit, match=r"^error: no such drawing$"), one_line_end("stopped"):
        raise ValueError("Caught ValueError in worker 0.\nTraceback ...\nValueError: no such drawing")


@dataclass
class Nothing:
    """The options of a command that takes none."""


def test_a_command_ends_with_the_status_of_what_it_runs(capsys):
    assert run_command(Nothing, "command", lambda options: 3, [], interrupted="stopped") == 3
    assert run_command(Nothing, "command", lambda options: None, [], interrupted="stopped") == 0
    assert run_command(Nothing, "command", lambda options: 3, ["--help"], interrupted="stopped") == 0
    assert capsys.readouterr().out == "usage: command\n"
    with pytest.raises(SystemExit, match=r"^error: unknown option 'size=3': the command takes none$"):
        run_command(Nothing, "command", lambda options: 0, ["size=3"], interrupted="stopped")


@pytest.mark.parametrize("called", ["deepdraw predict", "/path/deepdraw/predict.py"])
def test_a_command_is_named_as_the_user_called_it(monkeypatch, called):
    monkeypatch.setattr("sys.argv", [called, "--help"])
    expected = "deepdraw predict" if called == "deepdraw predict" else "python -m deepdraw.predict"
    assert as_called("python -m deepdraw.predict ckpt=CKPT") == f"{expected} ckpt=CKPT"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_the_message_for_interruption(number, capsys):
    with pytest.raises(SystemExit) as left, one_line_end("stopped: nothing was written"):
        os.kill(os.getpid(), number)
    assert left.value.code == 130
    assert capsys.readouterr().err == "stopped: nothing was written\n"
