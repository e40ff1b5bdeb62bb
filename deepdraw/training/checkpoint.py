"""Checkpoints: written whole or not at all, read only as they were written and without running code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from deepdraw.models.weights import UNREADABLE
from deepdraw.runtime.distributed import rank
from deepdraw.runtime.reading import open_regular
from deepdraw.runtime.seals import check_seal, write_sealed


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a sealed archive whole or not at all: a reader finds the old checkpoint or the new one.

    Of several ranks the first alone writes. Raises OSError, naming `path`, where the disk refuses.
    """
    if rank() == 0:
        write_sealed(path, lambda file: torch.save(content, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: tensors and plain values alone, and the very bytes that were written.

    Its config must go through `deepdraw.runtime.permitted.check_config` before anything is built from it. Raises
    ValueError, in one line, for a file that is missing or damaged, that holds more than tensors and plain values, or
    that deepdraw did not write.
    """
    if not path.is_file():
        raise ValueError(f"there is no checkpoint {path}: correct the path, or put the run's own file back")
    damaged = f"{path} is cut short, damaged or holds code, and was not loaded"
    fix = "fetch it anew, or train again in another hydra.run.dir"
    with open_regular(path, fix=fix) as file:
        if not check_seal(file):
            raise ValueError(f"{damaged}: {fix}")
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
        except UNREADABLE as error:
            raise ValueError(f"{damaged}: {fix}") from error
    if not isinstance(content, dict) or not {"config", "classes", "model"} <= content.keys():
        raise ValueError(f"{path} is no deepdraw checkpoint: give the path of a best.pt or last.pt of train.py")
    return content


def load_last(checkpoints: Path) -> dict[str, Any] | None:
    """The `last.pt` from which a run goes on, or None where there was no run.

    Raises ValueError, in one line, where last.pt or best.pt is damaged, or missing though the run had written it:
    better now than after the last epoch.
    """
    last, best = checkpoints / "last.pt", checkpoints / "best.pt"
    if not last.exists() and not best.exists():
        return None
    former = load_checkpoint(last)
    if "optimizer" not in former:
        raise ValueError(
            f"{last} has no optimizer state, as if it were a best.pt: "
            "put the run's own last.pt back, or train again in another hydra.run.dir"
        )
    if former["best"]:
        load_checkpoint(best)
    return former
