"""Faults of the machine, one at a time: each ends a command in one line, and the same command then ends well.

`python -m tests.faults.machine FOLDER [FAULT ...]` prints what went wrong with each fault, as JSON. Those of the disk
mount one in FOLDER: run it by `unshare --mount`, which keeps that disk from all other processes.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.commands import COMMANDS, Command, make_common
from tests.faults.forks import Fork, group
from tests.faults.outcome import differences, outcome

TIME_LIMIT = 120.0  # seconds for a command to end
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Fault:
    """What befalls a command.

    says: a pattern of the line that it ends with; disk: a state of the disk, given the working directory and the bytes
    that the command fills; within: called in its process before it; meanwhile: called while it runs; twice: whether
    the same command runs in the same directory already.
    """

    command: str
    says: str
    disk: Callable[[Path, int], AbstractContextManager[None]] | None = None
    within: Callable[[], object] | None = None
    meanwhile: Callable[[Fork], None] | None = None
    twice: bool = False


def full(share: float) -> Callable[[Path, int], AbstractContextManager[None]]:
    """A disk with room for such a share of what the command writes."""

    @contextmanager
    def fill(work: Path, num_bytes: int) -> Iterator[None]:
        ballast = work.parent / "ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(work).free - int(share * num_bytes))
        yield
        ballast.unlink()

    return fill


@contextmanager
def read_only(work: Path, num_bytes: int) -> Iterator[None]:
    """A disk that cannot be written."""
    subprocess.run(["mount", "-o", "remount,ro", work.parent], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", work.parent], check=True)


def little_memory() -> None:
    """Allow a few megabytes more than this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 4 * MEGABYTE
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def few_open_files() -> None:
    """Allow no more open files than this process has."""
    limit = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def small_files() -> None:
    """Allow no file of more than 2,000 bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))


def full_stdout() -> None:
    """Let stdout take nothing."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def broken_pipe() -> None:
    """Let nobody read what is printed."""
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)


def kill_worker(fork: Fork) -> None:
    """kill -9 of the first process that the command starts to read or draw."""
    while fork.wait(0.005) is None:
        for pid in group(fork.pid):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if pid == fork.pid:
                continue
            time.sleep(0.02)  # a process that was forked a moment ago does not have its own command line yet
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"resource_tracker" not in command:
                os.kill(pid, signal.SIGKILL)
                return


FAULTS = {
    "train, full disk": Fault("train", "run/.*: No space left on device: free some space", full(0.5)),
    "train, disk full late": Fault("train", "run/.*: No space left on device: free some space", full(0.97)),
    "cache, full disk": Fault("cache", "No space left on device|are free", full(0.4)),
    "evaluate, full disk": Fault("evaluate", "run/.*: No space left on device|are free", full(0.5)),
    "embed, full disk": Fault("embed", "embedded.*No space left on device|are free", full(0.5)),
    "quickdraw, full disk": Fault("quickdraw", "shards.*: No space left on device", full(0.5)),
    "train, read-only disk": Fault("train", "run: Read-only file system: choose a directory", read_only),
    "evaluate, read-only disk": Fault("evaluate", "Read-only file system", read_only),
    "embed, read-only disk": Fault("embed", "embedded cannot be written .Read-only file system.", read_only),
    "quickdraw, read-only disk": Fault("quickdraw", "shards: Read-only file system: choose a directory", read_only),
    "train, small files": Fault("train", "run/.*: File too large: raise `ulimit -f`", within=small_files),
    "train, little memory": Fault("train", "not enough memory|ulimit -u", within=little_memory),
    "train, few open files": Fault("train", "Too many open files: raise `ulimit -n`", within=few_open_files),
    "train, full stdout": Fault("train", "stdout: No space left on device", within=full_stdout),
    "train, broken pipe": Fault("train", "stdout: Broken pipe", within=broken_pipe),
    "embed, killed worker": Fault("embed", r"a loader process \(pid \d+\) (was|has)", meanwhile=kill_worker),
    "train, beside another": Fault("train", "is training in .*run: wait until it ends", twice=True),
    "quickdraw, killed worker": Fault("quickdraw", "a worker process was killed", meanwhile=kill_worker),
}


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: what it left, and the bytes that it wrote."""

    outcome: Mapping[str, str]
    num_bytes: int


def undisturbed(name: str, common: Path) -> Reference:
    """Run a command to its end."""
    with folder_at(common / "disk"):
        work = common / "disk/work"
        COMMANDS[name].prepare(common, work)
        before = occupied(work)
        run(COMMANDS[name], work, common / "log")
        return Reference(outcome(work), occupied(work) - before)


def attempt(fault: Fault, reference: Reference, common: Path) -> list[str]:
    """Run a command with the fault, then without; returns what is wrong, if anything."""
    command, disk = COMMANDS[fault.command], common / "disk"  # it finds what it reads two folders above its own
    work = disk / "work"
    with disk_at(disk) if fault.disk else folder_at(disk):
        command.prepare(common, work)
        other = running(command, work, common / "other") if fault.twice else nullcontext()
        with fault.disk(work, reference.num_bytes) if fault.disk else other:
            found = disturbed(fault, work, common)
        if parts := [path.name for path in work.rglob("*") if path.name.endswith(".part")]:
            found.append(f"left behind: {parts}")
        run(command, work, common / "log")
        return found + differences(reference.outcome, outcome(work))


@contextmanager
def running(command: Command, work: Path, log: Path) -> Iterator[None]:
    """The same command, which has begun, and ends well in spite of the other."""
    fork = Fork(command, work, log)
    while not (work / "run/config.yaml").exists():
        assert fork.wait(0.01) is None, log.read_text()
    yield
    assert fork.wait(TIME_LIMIT) is not None and fork.status == 0, log.read_text()[-2000:]


def run(command: Command, work: Path, log: Path) -> None:
    """Run a command that must end well, with all that it started."""
    fork = Fork(command, work, log)
    assert fork.wait(TIME_LIMIT) is not None and fork.status == 0, log.read_text()[-2000:]
    assert not fork.left(10.0), "its processes still run"


def occupied(folder: Path) -> int:
    """The bytes that the files of a folder fill, in blocks of 4096."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def disturbed(fault: Fault, work: Path, common: Path) -> list[str]:
    """Run the command with the fault; returns what is wrong with its end."""
    said = common / "stderr"

    def main() -> None:
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), 2)
        if fault.within is not None:
            fault.within()
        COMMANDS[fault.command]()

    fork = Fork(main, work, common / "log")
    if fault.meanwhile is not None:
        fault.meanwhile(fork)
    if fork.wait(TIME_LIMIT) is None:
        fork.kill()
        return [f"it did not end in {TIME_LIMIT:.0f} s"]
    found, text = [], said.read_text()
    lines = [line for line in text.splitlines() if not line.startswith("reading ")]  # the bar of quickdraw
    if len(lines) != 1 or not re.match(f"error: .*({fault.says})", lines[0]):
        found.append(f"it said {text[-1500:]!r} and not one line as {fault.says!r}")
    if fork.status != 1:
        found.append(f"its exit status is {fork.status}")
    if left := fork.left(10.0):
        found.append(f"{len(left)} of its processes still run")
        fork.end_group()
    return found


@contextmanager
def folder_at(path: Path) -> Iterator[None]:
    """A new folder, for a while."""
    path.mkdir()
    yield
    shutil.rmtree(path)


@contextmanager
def disk_at(path: Path) -> Iterator[None]:
    """A disk of its own at a new folder, for a while."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", path], check=True)
    yield
    subprocess.run(["umount", path], check=True)
    path.rmdir()


def main(folder: Path, names: list[str]) -> dict[str, list[str]]:
    """What is wrong with the end of the commands under each of these faults."""
    import torch

    torch.set_num_threads(1)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        make_common(folder)
    os.chdir(folder)
    references = {name: undisturbed(name, folder) for name in dict.fromkeys(FAULTS[name].command for name in names)}
    found = {}
    for name in names:
        start = time.monotonic()
        found[name] = attempt(FAULTS[name], references[FAULTS[name].command], folder)
        print(f"{time.monotonic() - start:5.1f} s  {name}: {'; '.join(found[name]) or 'good'}", file=sys.stderr)
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2:] or list(FAULTS))))
