"""Tries of the kill harness: which command dies when, and whether anything was lost."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tests.faults.commands import COMMANDS, Command, make_common
from tests.faults.forks import Fork
from tests.faults.moments import KINDS, Moment, die_at, watch_writes
from tests.faults.outcome import differences, outcome

PATIENCE = 120.0  # seconds for a command to end
ORPHANS = 15.0  # seconds for the processes of a killed command to notice


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: what it left, the seconds it took, and its writes in order."""

    outcome: Mapping[str, str]
    seconds: float
    writes: Sequence[str]


@dataclass(frozen=True)
class Try:
    """What came of one. kills: the moments at which the command died; lost: what is wrong, if anything."""

    command: str
    kills: Sequence[str]
    lost: Sequence[str]


def run_tries(tries: int, seed: int, first: int = 0, names: Sequence[str] = (), keep: Path | None = None) -> bool:
    """Run so many tries, print what was found, and say whether nothing was lost."""
    import torch
    from rich.progress import Progress

    torch.set_num_threads(1)
    names = list(names or COMMANDS)
    base = Path(tempfile.mkdtemp(prefix="deepdraw-kills-", dir=keep)).resolve()
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        make_common(base)
    os.chdir(base)
    references = {name: undisturbed(COMMANDS[name], base, base / f"{name}-undisturbed") for name in names}
    progress = Progress(auto_refresh=False)  # refreshing by itself it has a thread
    console = progress.console
    done: list[Try] = []
    for number in progress.track(range(first, first + tries), description="killing"):
        progress.refresh()
        name = names[number % len(names)]
        folder = base / f"{name}-{seed}-{number}"
        rng = random.Random(f"{seed} {number} {name}")
        found = attempt(name, references[name], base, folder, rng)
        done.append(found)
        if found.lost:
            again = f"seed={seed} first={number} tries=1 commands={','.join(names)}"
            console.print(
                f"LOST {name} ({again}), killed {'; '.join(found.kills)}: {'; '.join(found.lost)}: {folder}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        else:
            shutil.rmtree(folder)
    lost = sum(bool(each.lost) for each in done)
    of = Counter(each.command for each in done)
    print(", ".join(f"{name} {number}" for name, number in of.items()))
    print(f"{len(done)} tries, {sum(len(each.kills) for each in done)} kills, lost {lost}")
    if not lost:
        shutil.rmtree(base)
    return not lost


def undisturbed(command: Command, common: Path, folder: Path) -> Reference:
    """Run a command to its end, and list its writes on the way."""
    command.prepare(common, folder / "work")

    def main() -> None:
        with (folder / "writes").open("w") as file:
            watch_writes(folder / "work", lambda what: print(what, file=file, flush=True))
            command()

    fork = Fork(main, folder / "work", folder / "log")
    seconds = fork.wait(PATIENCE)
    assert seconds is not None and fork.status == 0, (folder / "log").read_text()
    return Reference(outcome(folder / "work"), seconds, (folder / "writes").read_text().splitlines())


def attempt(name: str, reference: Reference, common: Path, folder: Path, rng: random.Random) -> Try:
    """Kill a command once or several times, and see how it ends after that."""
    command, work, log = COMMANDS[name], folder / "work", folder / "log"
    command.prepare(common, work)
    kills, forks, lost = [], [], []
    for _ in range(rng.choice((1, 1, 2, 3))):
        moment = choose(reference, rng)
        fork = killed(command, work, moment, reference.seconds)
        forks.append(fork)
        if fork.status is None or fork.status >= 0:
            break  # it was faster than its death
        kills.append(f"{moment} ({reference.writes[int(moment.at) - 1]})" if moment.kind != "time" else str(moment))
    last = Fork(command, work, log)
    forks.append(last)
    if last.wait(PATIENCE) is None:
        last.kill()
        lost.append(f"it did not end in {PATIENCE:.0f} s")
    elif last.status != 0 and not (command.refusal and command.refusal in log.read_text()):
        lost.append(f"it failed ({last.status}): {' '.join(log.read_text().splitlines()[-1:])}")
    else:
        lost += differences(reference.outcome, outcome(work))
    for fork in forks:
        if left := fork.left(ORPHANS):
            lost.append(f"{len(left)} of its processes still run")
            fork.end_group()
    return Try(name, kills, lost)


def choose(reference: Reference, rng: random.Random) -> Moment:
    """A moment within the command's run; later ones of a run that is resumed may never come."""
    kind = rng.choice(KINDS)
    if kind == "time":
        return Moment(kind, rng.uniform(0, 1.1 * reference.seconds))
    return Moment(kind, rng.randint(1, len(reference.writes)), round(2 ** rng.uniform(0, 17)) - 1)


def killed(command: Command, work: Path, moment: Moment, seconds: float) -> Fork:
    """Start a command that dies at `moment`, and wait for its death."""
    if moment.kind == "time":
        fork = Fork(command, work)
        if fork.wait(moment.at) is None:
            fork.kill()
        return fork

    def main() -> None:
        die_at(moment, work)
        command()

    fork = Fork(main, work)
    if fork.wait(PATIENCE) is None:
        fork.kill()
    return fork
