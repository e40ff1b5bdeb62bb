"""Damaged and hostile files for every reader: it accepts one, or raises one ValueError of one line that names it.

    python -m tests.faults.fuzz [tries=100000] [seed=0] [only=NAME[:TRY]]

Each reader runs in a process of its own, with a bound on its memory and on the time of a try, so that neither a crash
of a decoder nor a file that never ends takes the others along. A try is a function of seed, reader and number alone.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from tests.faults.forks import Fork
from tests.faults.mutations import damage
from tests.faults.readers import READERS, Reader

SECONDS = 20  # that a try may take
MEMORY = 2 << 30  # bytes that a reader may ask for
LONGEST = 1500  # characters of a message
SHOWN = 5  # failures of a reader


class Slow(BaseException):
    """A try took too long."""


class Tries:
    """The tries of one reader, counted by their outcome."""

    def __init__(self, name: str, seed: int, folder: Path) -> None:
        self._reader, self._name, self._seed, self._folder = READERS[name], name, seed, folder
        folder.mkdir()
        self._files = self._reader.make(folder)
        self._whole = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self._reader.read(folder)
        self._restore()
        self.outcomes: Counter[str] = Counter()
        self.failures: list[str] = []

    def attempt(self, number: int) -> None:
        """Change one file, read it, and put it back."""
        chosen = random.Random(f"{self._seed} {self._name} {number}")
        path, is_damage = self._change(chosen)
        signal.alarm(SECONDS)
        try:
            self._reader.read(self._folder)
            outcome = "accepted"
            if self._reader.is_sealed and is_damage and path.read_bytes() != self._whole[path]:
                outcome = self._fails(number, path, "other content is accepted")
        except ValueError as error:
            message, outcome = str(error), "refused"
            named = str(self._folder) in message or self._folder.name in message
            if "\n" in message or len(message) > LONGEST or not named:
                outcome = self._fails(number, path, f"a message of another form: {message!r:.300}")
        except BaseException:
            outcome = self._fails(number, path, traceback.format_exc(limit=-4))
        finally:
            signal.alarm(0)
        self.outcomes[outcome] += 1
        self._restore()

    def _change(self, chosen: random.Random) -> tuple[Path, bool]:
        path = chosen.choice(self._files)
        change = (self._reader.changes or {}).get(path.suffix)
        is_damage = change is None or chosen.random() < 0.4
        status = path.stat()
        path.write_bytes((damage if change is None or is_damage else change)(chosen, self._whole[path]))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        return path, is_damage

    def _restore(self) -> None:
        for path in self._folder.rglob("*"):
            if path.is_file() and path not in self._whole:
                path.unlink()
        for path, content in self._whole.items():
            if not path.exists() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    def _fails(self, number: int, path: Path, reason: str) -> str:
        self.failures.append(f"only={self._name}:{number} {path.name}: {reason}")
        return "failed"


def run(name: str, numbers: range, seed: int, folder: Path) -> None:
    """The tries of a reader, in a process of its own; what came of them lies in `<folder>.json`."""
    logging.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _too_slow)
    tries, progress = Tries(name, seed, folder / name), folder / f"{name}.json"
    if (pages := Path("/proc/self/statm")).exists():
        limit = int(pages.read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in numbers:
        progress.write_text(json.dumps({"at": number, "outcomes": tries.outcomes, "failures": tries.failures[:SHOWN]}))
        tries.attempt(number)
    progress.write_text(json.dumps({"at": None, "outcomes": tries.outcomes, "failures": tries.failures[:SHOWN]}))


def fuzz(total: int, seed: int = 0, only: str = "") -> tuple[dict[str, Counter[str]], list[str]]:
    """About `total` tries over all readers, or of one: outcomes by reader, and what failed."""
    chosen, _, number = only.partition(":")
    names = [chosen] if chosen else list(READERS)
    each = total / sum(READERS[name].share for name in names)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    torch.set_num_threads(1)
    waiting, running, failures = list(names), {}, []
    outcomes: dict[str, Counter[str]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < 2:
                name = waiting.pop(0)
                numbers = range(int(number), int(number) + 1) if number else range(_share(READERS[name], each))
                main = lambda name=name, numbers=numbers: run(name, numbers, seed, folder)  # noqa: E731
                running[name] = Fork(main, folder, folder / f"{name}.log")
            for name, fork in list(running.items()):
                if fork.wait(0.05) is not None:
                    del running[name]
                    outcomes[name], found = _ended(folder, name, fork.status)
                    failures += found
    finally:
        for fork in running.values():
            fork.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return outcomes, failures


def _ended(folder: Path, name: str, status: int | None) -> tuple[Counter[str], list[str]]:
    progress = folder / f"{name}.json"
    said: dict[str, Any] = json.loads(progress.read_text()) if progress.exists() else {"outcomes": {}, "failures": []}
    if status or said.get("at", 0) is not None:
        log = (folder / f"{name}.log").read_text(errors="replace")[-2000:]
        said["failures"].append(f"only={name}:{said.get('at')} ended the process with {status}\n{log}")
    return Counter(said["outcomes"]), said["failures"]


def _share(reader: Reader, each: float) -> int:
    return max(1, round(reader.share * each))


def _too_slow(*_: object) -> None:
    raise Slow(f"more than {SECONDS} s")


def main(arguments: list[str]) -> None:
    """Print the outcomes of each reader; an exit code of 1 where anything failed."""
    given = dict(argument.split("=", 1) for argument in arguments)
    start = time.monotonic()
    outcomes, failures = fuzz(int(given.get("tries", 100_000)), int(given.get("seed", 0)), given.get("only", ""))
    outcomes["all"] = sum(outcomes.values(), Counter())
    for name, counts in outcomes.items():
        said = ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in ("accepted", "refused", "failed"))
        print(f"{name:14} {counts.total():8,} tried: {said}")
    print(f"in {time.monotonic() - start:.0f} s", *failures, sep="\n")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main(sys.argv[1:])
