"""Every reader accepts a damaged or hostile file, or refuses it in one line that names it: 5,000 tries.

100,000 and more are tried by hand: see `tests.faults.fuzz`.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_every_reader_accepts_a_file_or_refuses_it_in_one_line():
    command = [sys.executable, "-m", "tests.faults.fuzz", "tries=5000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^all +[45],\d{3} tried", done.stdout, re.MULTILINE)
