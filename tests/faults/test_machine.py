"""Disk, memory, processes and stdout refuse: one line, nothing half written, and the same bits by the same command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.machine import FAULTS

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits, /dev/full and /proc are Linux's"),
]


def can_mount() -> bool:
    """Whether this process may mount a disk that no other process sees."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, list[str]]:
    """What went wrong with each fault, all tried by one process that imports everything once."""
    mounts = can_mount()
    names = [name for name, fault in FAULTS.items() if mounts or fault.disk is None]
    command = ["unshare", "--mount"] if mounts else []
    command += [sys.executable, "-m", "tests.faults.machine", str(tmp_path_factory.mktemp("faults")), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_the_command_in_one_line_and_the_same_command_ends_with_the_same_bits(name, found):
    if name not in found:
        pytest.skip("to mount a small disk takes root")
    assert found[name] == []
