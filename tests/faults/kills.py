"""Kill commands with kill -9 at any moment, start them again, and hold what they leave against an undisturbed run.

python -m tests.faults.kills tries=1000 seed=0

Each try takes one of the commands of `commands.py`, kills it up to three times, lets it end and compares every file of
its working directory, bit for bit, with that of a run that nobody disturbed: weights, tables, pictures, caches, shards.
It is lost where the command fails, a file differs, or a part, a lock or a process is left over. The directory of a lost
try is kept and its line says how to repeat it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

for threads in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{threads}_NUM_THREADS"] = "1"  # a process with threads cannot be forked


@dataclass
class Options:
    """What the command accepts, each as key=value."""

    tries: int = field(default=1000, metadata={"help": "how many"})
    seed: int = field(default=0, metadata={"help": "decides all moments but how fast the machine is"})
    first: int = field(default=0, metadata={"help": "number of the first try, to repeat one"})
    commands: str = field(default="", metadata={"help": "which, with commas; default: all"})
    keep: str = field(
        default="", metadata={"help": "folder for directories of lost tries; default: a new one of the system"}
    )


def main() -> None:
    """Run the tries and print what was found; exit with 1 where one was lost."""
    from deepdraw.runtime.options import parse, usage

    if {"-h", "--help"} & set(sys.argv[1:]):
        print(usage(Options, "python -m tests.faults.kills [key=value ...]"))
        return
    from tests.faults.tries import run_tries

    options = parse(Options, sys.argv[1:])
    names = [name for name in options.commands.split(",") if name]
    keep = Path(options.keep) if options.keep else None
    sys.exit(0 if run_tries(options.tries, options.seed, options.first, names, keep) else 1)


if __name__ == "__main__":
    main()
