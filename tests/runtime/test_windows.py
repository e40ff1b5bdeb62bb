"""Where the system lacks what only Linux has, or macOS lacks, the same runs without it, to the same numbers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
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
TRACKER = """
from multiprocessing import resource_tracker
resource_tracker.ensure_running()  # of what Linux has to spawn processes
"""
TRAINING = """
import multiprocessing, runpy, sys
if __name__ == "__main__":  # spawned workers import this file, too
    multiprocessing.set_start_method(sys.argv.pop(1))
    runpy.run_path({script!r}, run_name="__main__")
"""
WORDS = [
    *("data=quickdraw", "data.batch_size=32", "data.num_workers=2", "train.epochs=1", "device=cpu", "precision=fp32"),
    *("augment=sketch", "backbone.image_size=32", "backbone.options.channels=[8,8,16,16]"),
]


@pytest.mark.parametrize("system", LACKING)
def test_signals_and_files_are_handled_without_what_the_system_lacks(system: str, tmp_path: Path):
    code = PRELUDE.format(lacking=LACKING[system]) + USED
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "whole\n", ended.stderr[-800:]


@pytest.mark.slow
def test_a_training_on_windows_gives_the_numbers_of_linux(polygon_root: Path, tmp_path: Path):
    """Its workers are spawned there and forked here; it lacks all that macOS lacks, and more."""
    weights = []
    signals, functions, modules = LACKING["windows"]
    windows = (signals, functions, (*modules, "wandb"))  # which asks for the name of the system
    for start, lacking in (("fork", ((), (), ())), ("spawn", windows)):
        script, run = tmp_path / f"{start}.py", tmp_path / start
        script.write_text(TRACKER + PRELUDE.format(lacking=lacking) + TRAINING.format(script=str(ROOT / "train.py")))
        ended = subprocess.run(
            [sys.executable, str(script), start, *WORDS, f"data.root={polygon_root}", f"hydra.run.dir={run}"],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-800:]
        weights.append(torch.load(run / "checkpoints/last.pt", weights_only=True)["model"])
    forked, spawned = weights
    assert spawned.keys() == forked.keys()
    assert all(torch.equal(tensor, forked[key]) for key, tensor in spawned.items())
