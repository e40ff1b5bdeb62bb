"""One benchmark: its table, and its figures as JSON (`python -m benchmarks BENCHMARK key=value ...`).

A benchmark is a module of this package with a dataclass `Options`, `run(options)` that returns its figures, and
`table(options, figures)` that shows them.
"""

from __future__ import annotations

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import machine
from deepdraw.runtime import cell, did_you_mean, one_line_end, parse
from deepdraw.runtime import options as key_values

BENCHMARKS = {
    "ablation": "what each part of networks that see strokes is worth, by accuracy after equal time",
    "data": "images per second on one core: strokes, against the original project's image shards",
    "early": "how early the right name comes first while a drawing is drawn",
    "evaluation": "an evaluation with all its metrics and pictures, against the bare forward pass",
    "folder": "accuracy of a training on a folder of images, SVG and strokes, against the same drawings in shards",
    "freezing": "a training step with frozen blocks, against the original project's way of freezing",
    "images": "drawings that come in as images, drawn by other means: how many a network trained on strokes recognizes",
    "model": "images per second forward and in training, as a share of what the device can do, and cores to feed it",
    "points": "points of drawings per second on one core, against images of them",
    "preparation": "drawings prepared per second of a core, from official files to shards, and the memory it takes",
    "probe": "linear probes by one pass and many heads at once, against a pass for each epoch of each head",
    "rendering": "line width, polarity and size of drawings, by what a probe of a frozen encoder makes of them",
    "step": "a training step of the loop, with logging, checks and bar, against the bare step",
    "sweep": "many jobs on SLURM submitted, asked for and collected, against Hydra's own launcher",
}


def measure(name: str, arguments: Sequence[str], console: Console) -> Path:
    """Run the benchmark, print its table and return the file with its figures."""
    if name not in BENCHMARKS:
        hint = did_you_mean(name, BENCHMARKS)
        choose = f"{hint} Choose one of" if hint else "choose"
        raise ValueError(f"there is no benchmark {name}: {choose} {', '.join(BENCHMARKS)}")
    benchmark = import_module(f"benchmarks.{name}")
    options = parse(benchmark.Options, arguments)
    file = Path(options.out) / f"{name}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"out={options.out} cannot be made ({error.strerror}): choose another directory") from error
    figures = {"benchmark": name, "options": asdict(options), "machine": machine(), **benchmark.run(options)}
    console.print(benchmark.table(options, figures))
    console.print(describe(figures["machine"]), soft_wrap=True, highlight=False)
    file.write_text(json.dumps(figures, indent=2) + "\n")
    return file


def describe(machine: dict[str, Any]) -> str:
    """The line that says what the figures were measured on."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    gpu = f"{machine['gpu']}, " if machine["gpu"] else ""
    return (
        f"{gpu}{machine['cpu']}, {machine['cores']} cores, {machine['torch_threads']} torch threads, "
        f"load {machine['load_before']} before the run; {versions}"
    )


def usage(name: str | None) -> str:
    """The text of --help: the benchmarks, or the options of one."""
    if name not in BENCHMARKS:
        lines = ["usage: python -m benchmarks BENCHMARK [key=value ...]"]
        return "\n".join([*lines, *(f"  {name:12}{meaning}" for name, meaning in BENCHMARKS.items())])
    options = import_module(f"benchmarks.{name}").Options
    return key_values.usage(options, f"python -m benchmarks {name} [key=value ...]")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; bad input ends it with one line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or {"-h", "--help"} & set(arguments):
        print(usage(arguments[0] if arguments else None))
        return
    console = Console()
    with one_line_end("interrupted: no figures were written"):
        file = measure(arguments[0], arguments[1:], console)
    console.print(cell(f"figures in {file}"), soft_wrap=True)


if __name__ == "__main__":
    main()
