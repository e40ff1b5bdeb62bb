"""A sweep that anyone else may have written, and what a refusal of it must leave alone."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepdraw.sweep.__main__ import COMMANDS, main
from deepdraw.sweep.record import Job, write_sweep

HERE = socket.gethostname()


SCRIPT = "from pathlib import Path\nPath({mark!r}).touch()\n"


@pytest.fixture
def sweep(tmp_path) -> Path:
    """A sweep of two local jobs, launched by this user, whose code would leave `ran` beside it."""
    directory = tmp_path / "sweep"
    for folder in ("jobs", "code", "logs", "0", "1"):
        (directory / folder).mkdir(parents=True)
    launcher = {"n_jobs": 1, "threads": 1}
    for number in (0, 1):
        config = {"hydra": {"launcher": launcher, "runtime": {"cwd": str(tmp_path)}}}
        (directory / f"jobs/{number}.yaml").write_text(yaml.safe_dump(config))
    (directory / "code/train.py").write_text(SCRIPT.format(mark=str(tmp_path / "ran")))
    (directory / "code/deepdraw").mkdir()
    (directory / "code/deepdraw/__init__.py").write_text(SCRIPT.format(mark=str(tmp_path / "ran")))
    jobs = [Job(n, [f"x={n}"], directory / str(n), [f"20260101000000_{n}"]) for n in (0, 1)]
    write_sweep(directory, "local", "val/top1", jobs, task=str(directory / "code/train.py"), code={"digest": "0"})
    return directory


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of this user's that has to do with no sweep."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    yield process
    assert process.poll() is None, "it was sent a signal"
    process.kill()
    process.wait()


@pytest.fixture
def signals(monkeypatch) -> list[tuple[int, int]]:
    """The signals that processes are sent, in the place of sending them; 0 asks whether there is one."""
    sent: list[tuple[int, int]] = []
    kill = os.kill

    def note(pid: int, number: int) -> None:
        if number:
            sent.append((pid, number))
        else:
            kill(pid, number)

    monkeypatch.setattr(os, "kill", note)
    return sent


def changed(sweep: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((sweep / "sweep.json").read_text())
    change(document)
    (sweep / "sweep.json").write_text(json.dumps(document))


def refused(sweep: Path, capsys, *names: str) -> None:
    """Hold every command to one line that names each of these."""
    for command in COMMANDS:
        assert main([command, str(sweep)]) == 1, command
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert told.count("\n") == 1
        assert all(name in told for name in names), told
