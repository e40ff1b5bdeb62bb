"""Writes docs/screens.md: what commands print into a terminal of so many columns, or into a pipe.

Run `python docs/screens.py`, with tmux installed. Above each block of text stands the command that it shows, as
`<!-- screen 80: python train.py ... -->`, `<!-- screen pipe: ... -->`, or `<!-- screen 80 until "2/9": ... -->` for the
moment at which these words are on the screen. All commands run in one new directory, in the order of the page.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/screens.md"
SCREEN = re.compile(
    r'(?P<mark><!-- screen (?P<where>\d+|pipe)(?: until "(?P<until>[^"]+)")?: (?P<command>.*?) -->\n\n```text\n)'
    r"(?P<text>.*?)(?P<end>```)",
    re.DOTALL,
)
LINES = 200  # of the terminal, so that nothing scrolls out of it


def _command(words: str) -> str:
    """What the shell is given for `python train.py ...`: this Python, and the script by its path."""
    _, *rest = shlex.split(words)
    script = [str(ROOT / rest.pop(0))] if rest[0].endswith(".py") else []
    return f"PYTHONPATH={shlex.quote(str(ROOT))} {shlex.join([sys.executable, *script, *rest])}"


def _on_terminal(words: str, columns: str, until: str | None, directory: Path) -> str:
    """The screen when the command has ended, or when `until` is on it; the command then goes on to its end."""
    tmux = ("tmux", "-L", f"deepdraw-{os.getpid()}-{time.monotonic_ns()}")  # a server of its own for each screen
    ended = directory / ".ended"
    ended.unlink(missing_ok=True)
    size = ("-x", columns, "-y", str(LINES))
    line = f"{_command(words)}; touch .ended; sleep 2"
    subprocess.run([*tmux, "new-session", "-d", "-s", "screen", *size, "-c", str(directory), line], check=True)
    text = ""
    while not ended.exists():
        if until is None or until not in text:
            text = _captured(tmux)
        time.sleep(0.2)
    if until is None or until not in text:
        text = _captured(tmux)
    subprocess.run([*tmux, "kill-server"], check=True)
    return text


def _captured(tmux: Sequence[str]) -> str:
    shown = subprocess.run([*tmux, "capture-pane", "-p", "-t", "screen"], check=True, capture_output=True, text=True)
    return shown.stdout


def _in_pipe(words: str, directory: Path) -> str:
    done = subprocess.run(_command(words), shell=True, cwd=directory, capture_output=True, text=True)
    return done.stdout + done.stderr


def _written(directory: Path, screen: re.Match[str]) -> str:
    words, where = screen["command"], screen["where"]
    is_pipe = where == "pipe"
    text = _in_pipe(words, directory) if is_pipe else _on_terminal(words, where, screen["until"], directory)
    lines = [line.rstrip() for line in text.replace(f"{directory.resolve()}/", "").splitlines()]
    text = "\n".join(lines).strip("\n")
    print(f"{words}\n{text}\n", flush=True)
    return f"{screen['mark']}{text}\n{screen['end']}"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        written = SCREEN.sub(partial(_written, Path(folder)), PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(written, encoding="utf-8")
