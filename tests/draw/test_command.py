"""The command `python -m deepdraw.draw`: what it refuses, each in one line, and that it serves this machine alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deepdraw.draw.__main__ import main
from tests.refusals import refusal

ROOT = Path(__file__).parents[2]


def test_without_a_checkpoint_it_says_how_to_get_one():
    line = refusal(main, [])
    assert "write ckpt=" in line
    assert "`python train.py` trains one on doodles" in line


def test_without_its_packages_it_names_the_extra(monkeypatch, runs):
    monkeypatch.setattr("deepdraw.draw.__main__.find_spec", lambda name: None)
    assert refusal(main, [f"ckpt={runs('pixels')}"]).endswith("pip install 'deepdraw[draw]'")


@pytest.mark.parametrize("port", ["70000", "-1", "x"])
def test_what_is_no_port_is_refused(runs, port):
    assert f"port={port}" in refusal(main, [f"ckpt={runs('pixels')}", f"port={port}"])


def test_a_port_that_is_taken_is_refused(runs):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port={port} cannot be used" in refusal(main, [f"ckpt={runs('pixels')}", f"port={port}"])


def test_it_prints_its_address_and_ends_on_ctrl_c(runs):
    command = [sys.executable, "-m", "deepdraw.draw", f"ckpt={runs('pixels')}", "device=cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as page:
        line = page.stdout.readline()
        assert line.startswith("draw at http://127.0.0.1:")
        page.send_signal(signal.SIGINT)
        assert page.wait(60) == 130
        assert page.stderr.read() == "the page is closed\n"
