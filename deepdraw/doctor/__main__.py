"""All checks, a line each; the exit status is 1 if something keeps this machine from training."""

from __future__ import annotations

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from deepdraw.doctor import Finding, first_line, hardware, services, software
from deepdraw.runtime import cell, run_command

STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}

CHECKS: dict[str, Callable[[str], Finding]] = {
    "Python": software.check_python,
    "deepdraw": software.check_deepdraw,
    "torch": software.check_torch,
    "device": hardware.check_device,
    "bf16": hardware.check_precision,
    "fp16": hardware.check_precision,
    **dict.fromkeys(software.LIBRARIES, software.check_library),
    "OpenCV": software.check_opencv,
    "SLURM": services.check_slurm,
    "W&B": services.check_wandb,
    "hub": services.check_hub,
    "Quick, Draw!": services.check_bucket,
    "disk": hardware.check_disk,
    "hub cache": hardware.check_disk,
    "cores": hardware.check_cores,
    "shared memory": hardware.check_shared_memory,
}


def examine() -> Iterator[Finding]:
    """The findings of all checks, each as soon as it is made."""
    for name, check in CHECKS.items():
        try:
            yield check(name)
        except Exception as error:  # an unexpected error is a finding, too
            text = f"cannot be examined ({type(error).__name__}: {first_line(error)})"
            yield Finding(name, "warning", text, "see whether training works, and report this line")


@dataclass
class Options:
    """The command takes none."""


def run(options: Options) -> int:
    """Print a line for each finding; 1 if one of them is a problem, 0 otherwise."""
    console = Console(highlight=False, soft_wrap=True)
    num_problems = 0
    for finding in examine():
        line = Text.assemble((f"{finding.status:8}", STYLES[finding.status]), (f"{finding.name:14}", "bold"))
        console.print(line + cell(finding.text) + cell(f" -> {finding.fix}" if finding.fix else "", "cyan"))
        num_problems += finding.status == "problem"
    verdict = f"{num_problems} to be mended before training" if num_problems else "ready to train"
    console.print(verdict, style="bold")
    return int(num_problems > 0)


def main(arguments: Sequence[str] = ()) -> int:
    """Run the command. Returns the exit status: 1 if something keeps this machine from training."""
    interrupted = "interrupted: not all was examined"
    return run_command(Options, "python -m deepdraw.doctor", run, arguments, interrupted=interrupted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
