"""Writes the table of docs/mistakes.md: each mistake typed as a command of its own, its line and its time.

Run `python docs/mistakes.py`. What is typed stands in the table itself. A test types it again.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/mistakes.md"
ROW = re.compile(r"^\| `+ ?(?P<typed>[^|]*?) ?`+ \| `+ ?(?P<line>.*?) ?`+ \| (?P<seconds>\S*) \|$", re.MULTILINE)

LIST = re.compile(r"((?:one of|has|options are) (?:[\w.]+, ){3})(?:[\w.]+, )+[\w.]+")


def shortened(line: str) -> str:
    """A line whose lists of options and keys end after three: they grow with deepdraw."""
    return LIST.sub(r"\1...", line)


def rows() -> list[tuple[str, str]]:
    """What is typed in each row of the table, and the line that it says."""
    return [(row["typed"], row["line"].replace("\\|", "|")) for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


def _measured(typed: str) -> tuple[str, float]:
    """The line that a command ends with, and the seconds that a core worked for it."""
    _, *words = shlex.split(typed)
    script = [str(ROOT / words.pop(0))] if words[0].endswith(".py") else []
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.Popen(
            [sys.executable, *script, *words],
            cwd=elsewhere,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert done.stderr is not None
        line = shortened(done.stderr.read().strip().removeprefix("error: "))
        usage = os.wait4(done.pid, 0)[2]
    return line, usage.ru_utime + usage.ru_stime


def _written(row: re.Match[str]) -> str:
    line, seconds = _measured(row["typed"])
    print(f"{seconds:4.1f} s  {row['typed']}\n        {line}", flush=True)
    ticks = "``" if "`" in line else "`"
    space = " " if ticks == "``" else ""
    text = line.replace("|", "\\|")
    return f"| `{row['typed']}` | {ticks}{space}{text}{space}{ticks} | {seconds:.1f} |"


if __name__ == "__main__":
    PAGE.write_text(ROW.sub(_written, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
