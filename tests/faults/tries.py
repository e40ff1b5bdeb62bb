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
from tests.faults.moments import Moment, die_at, watch_writes
from tests.faults.outcome import differences, outcome

TIME_LIMIT = 120.0  # seconds for a command to end
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
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    names = list(names or COMMANDS)
    base = set_up(keep)
    references = {name: undisturbed(COMMANDS[name], base, base / f"{name}-undisturbed") for name in names}
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    # Without a thread and without a hand on stdout, which a forked process would take along.
    progress = Progress(*columns, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    done: list[Try] = []
    before = shared_memory()
    with progress:
        for number in progress.track(range(first, first + tries), description="killing"):
            name = names[number % len(names)]
            folder = base / f"{name}-{seed}-{number}"
            rng = random.Random(f"{seed} {number} {name}")
            moment = moment_of_try(references[name], number // len(names), random.Random(f"{seed} {name}"), rng)
            done.append(attempt(name, references[name], moment, base, folder, rng))
            if done[-1].lost:
                line = f"LOST {name}, killed {'; '.join(done[-1].kills)}: {'; '.join(done[-1].lost)}: {folder}"
                again = f"to repeat it: seed={seed} first={number} tries=1 commands={','.join(names)}"
                progress.console.print(f"{line} ({again})", markup=False, highlight=False, soft_wrap=True)
            else:
                shutil.rmtree(folder)
    lost = sum(bool(each.lost) for each in done)
    print(", ".join(f"{name} {number}" for name, number in Counter(each.command for each in done).items()))
    if new := sorted(shared_memory() - before):
        print(f"new in shared memory, of these commands or of others on this machine: {', '.join(new)}")
    print(f"{len(done)} tries, {sum(len(each.kills) for each in done)} kills, lost {lost}")
    if not lost:
        shutil.rmtree(base)
    return not lost


def shared_memory() -> set[str]:
    """The names of what processes share or have left there, where the system lists them."""
    folder = Path("/dev/shm")
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def set_up(keep: Path | None) -> Path:
    """Import all that commands need, and make a folder with what they read."""
    import torch

    torch.set_num_threads(1)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    base = Path(tempfile.mkdtemp(prefix="deepdraw-kills-", dir=keep)).resolve()
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        make_common(base)
    os.chdir(base)
    return base


def undisturbed(command: Command, common: Path, folder: Path) -> Reference:
    """Run a command to its end, and list its writes on the way."""
    command.prepare(common, folder / "work")

    def main() -> None:
        with (folder / "writes").open("w") as file:
            watch_writes(folder / "work", lambda what: print(what, file=file, flush=True))
            command()

    fork = Fork(main, folder / "work", folder / "log")
    seconds = fork.wait(TIME_LIMIT)
    assert seconds is not None and fork.status == 0, (folder / "log").read_text()
    return Reference(outcome(folder / "work"), seconds, (folder / "writes").read_text().splitlines())


def moment_of_try(reference: Reference, number: int, order: random.Random, rng: random.Random) -> Moment:
    """When try `number` of a command dies first: one in four at any time, the others at one write after another."""
    if number % 4 == 3:
        return any_time(reference, rng)
    writes = order.sample(range(1, len(reference.writes) + 1), len(reference.writes))
    return at_write(writes[(number - number // 4) % len(writes)], rng)


def any_time(reference: Reference, rng: random.Random) -> Moment:
    """A moment within the run."""
    return Moment("time", rng.uniform(0, 1.1 * reference.seconds))


def at_write(number: int, rng: random.Random) -> Moment:
    """Before, in or after a write; a file is torn at any of 2 ** 17 bytes, small numbers as often as large ones."""
    return Moment(rng.choice(("before", "after", "torn")), number, round(2 ** rng.uniform(0, 17)) - 1)


def attempt(name: str, reference: Reference, moment: Moment, common: Path, folder: Path, rng: random.Random) -> Try:
    """Kill a command once or several times, and see how it ends after that."""
    command, work, log = COMMANDS[name], folder / "work", folder / "log"
    command.prepare(common, work)
    kills, forks, lost = [], [], []
    for _ in range(rng.choice((1, 1, 2, 3))):
        fork = killed(command, work, moment)
        forks.append(fork)
        if fork.status == 0 or (fork.status > 0 and command.refusal):  # it was faster than its death
            break
        if fork.status > 0 and moment.kind != "torn":
            lost.append(f"it failed ({fork.status}) instead of being killed {moment}")
        kills.append(f"{moment} ({reference.writes[int(moment.at) - 1]})" if moment.kind != "time" else str(moment))
        later = at_write(rng.randint(1, len(reference.writes)), rng)  # which a run that is resumed may not come to
        moment = rng.choice((any_time(reference, rng), later))
    last = Fork(command, work, log)
    forks.append(last)
    if last.wait(TIME_LIMIT) is None:
        last.kill()
        lost.append(f"it did not end in {TIME_LIMIT:.0f} s")
    elif last.status != 0 and not (command.refusal and command.refusal in log.read_text()):
        lost.append(f"it failed ({last.status}): {' '.join(log.read_text().splitlines()[-1:])}")
    else:
        lost += differences(reference.outcome, outcome(work))
    for fork in forks:
        if left := fork.left(ORPHANS):
            lost.append(f"{len(left)} of its processes still run")
            fork.end_group()
    return Try(name, kills, lost)


def killed(command: Command, work: Path, moment: Moment) -> Fork:
    """Start a command that dies at `moment`, and wait for its death or its end."""

    def main() -> None:
        if moment.kind != "time":
            die_at(moment, work)
        command()

    fork = Fork(main, work)
    if fork.wait(moment.at if moment.kind == "time" else TIME_LIMIT) is None:
        fork.kill()
    return fork
