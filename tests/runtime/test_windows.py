"""Where the system lacks what only Linux has, or macOS lacks, the same runs without it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What Python has on Linux and not on the other system; the modules cannot be imported there.
LACKING = {
    "windows": (
        ("SIGUSR1", "SIGUSR2", "SIGKILL", "SIGHUP", "SIGALRM", "pthread_sigmask", "sigtimedwait", "sigwait"),
        ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "sched_getaffinity", "register_at_fork", "getuid", "fchmod"),
        ("fcntl", "resource", "pwd", "grp", "termios"),
    ),
    "macos": (("sigtimedwait",), ("sched_getaffinity",), ()),
}
PRELUDE = """
import logging, multiprocessing, os, signal, subprocess, sys, tempfile, threading
import torch  # which has ways of its own for each system
signals, functions, modules = {lacking!r}
for name in signals:
    delattr(signal, name)
for name in functions:
    delattr(os, name)
for name in modules:
    sys.modules[name] = None
"""
USED = """
from pathlib import Path
from deepdraw.runtime import StopSignal, interruptible, preemptible, signals_held, write_text, remove_parts
import benchmarks.preparation, deepdraw.data.loader, deepdraw.sweep.launch_local
with interruptible(), preemptible(), StopSignal() as stop, signals_held():
    write_text(Path(sys.argv[1]) / "a.txt", "whole")
    remove_parts(Path(sys.argv[1]))
assert not stop.requested
print((Path(sys.argv[1]) / "a.txt").read_text())
"""


@pytest.mark.parametrize("system", LACKING)
def test_signals_and_files_are_handled_without_what_the_system_lacks(system: str, tmp_path: Path):
    code = PRELUDE.format(lacking=LACKING[system]) + USED
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "whole\n", ended.stderr[-800:]
