"""Exports a checkpoint, with a proof that it is the same (`python -m deepdraw.export ckpt=RUN format=onnx`)."""

from __future__ import annotations

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import copy
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, open_dict, read_write

from deepdraw.config import check_command, compose_config, config_folders, help_text
from deepdraw.runtime import run_main, shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; bad input ends it with one line."""
    return run_main(read, run, arguments, interrupted="interrupted: nothing was written")


def read(words: Sequence[str]) -> DictConfig | None:
    """The config that the words of a command stand for, checked; None where they asked for help, which is printed."""
    if {"-h", "--help"} & set(words):
        print(help_text("export", words))
        return None
    overrides, folder = _without_folder(words)
    config = compose_config("export", overrides, folder)
    check_command(config, "export")
    task = copy.deepcopy(config)
    with read_write(task), open_dict(task):
        del task["hydra"]
    return task


def run(config: DictConfig) -> None:
    """Export as the config says."""
    from deepdraw.export.export import export  # torch: slow to import, and --help needs none of it

    out, proof = export(config)
    print("\n".join([*proof.lines(), f"written: {shown(out)}"]))


def _without_folder(words: Sequence[str]) -> tuple[list[str], Path | None]:
    """The overrides among the words, and the directory that --config-dir names."""
    folders = list(config_folders(words))
    overrides = []
    for before, word in zip(("", *words), words, strict=False):
        if word.partition("=")[0] not in ("--config-dir", "-cd") and before not in ("--config-dir", "-cd"):
            # conf/precision is a group of options of training, for which Hydra would take it
            overrides.append(f"format.{word}" if word.startswith("precision=") else word)
    return overrides, folders[-1] if folders else None


if __name__ == "__main__":
    sys.exit(main())
