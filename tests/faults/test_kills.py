"""Nothing is lost by kill -9: 40 tries of `kills.py`, whose docstring says how to run more."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a process with torch cannot be forked")
@pytest.mark.parametrize("seed", [0, 1])
def test_commands_that_were_killed_end_with_the_bits_of_an_undisturbed_run(seed, tmp_path):
    command = [sys.executable, "-m", "tests.faults.kills", "tries=20", f"seed={seed}", f"keep={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 tries" in done.stdout and "lost 0" in done.stdout
