"""Checkpoints: written whole or not at all, and read without running code. Damaged files are refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from deepdraw.config import with_current_names
from deepdraw.models.backbones import UNREADABLE
from deepdraw.runtime import ALONE, Ranks, check_seal, open_regular, write_sealed

EPOCH_FILE = re.compile(r"epoch_(\d{4,9})\.pt")


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a sealed archive, whole or not at all: a reader finds the old checkpoint or the new one.

    Raises OSError, naming `path`, if the disk refuses.
    """
    write_sealed(path, lambda file: torch.save(content, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU: tensors and plain values, after a check for damage.

    Call `deepdraw.config.check_config` before building anything from its config. Raises ValueError, in one line, if the
    file is missing or damaged, holds more than tensors and plain values, or was not written by deepdraw.
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
    content["config"] = with_current_names(content["config"])
    return content


def epoch_files(folder: Path) -> dict[int, Path]:
    """The files of the kept epochs of a run, `epoch_N.pt`, by epoch, from 1."""
    found = {file: EPOCH_FILE.fullmatch(file.name) for file in folder.glob("epoch_*.pt")}
    return dict(sorted((int(match[1]), file) for file, match in found.items() if match))


@dataclass(frozen=True, eq=False)
class Checkpoints:
    """The checkpoints of a run in its folder: `last.pt`, from which it goes on, `best.pt`, its result, and kept epochs.

    metadata: what both hold beside the weights, such as config, classes and preprocessing. Only rank 0 reads and
    writes.
    """

    folder: Path
    metadata: Mapping[str, Any] = field(default_factory=dict)
    ranks: Ranks = ALONE

    def load_last(self) -> dict[str, Any] | None:
        """The `last.pt` from which the run resumes, or None for a new run.

        Raises ValueError, in one line, if last.pt or best.pt is damaged, or missing although the run had written it.
        This is checked now, and not after the last epoch.
        """
        return self.ranks.broadcast_from_rank0(self._read_last)

    def load_best(self) -> dict[str, Any]:
        """The weights of `best.pt`."""
        return self.ranks.broadcast_from_rank0(lambda: load_checkpoint(self.folder / "best.pt")["model"])

    def save_last(self, state: Mapping[str, Any]) -> None:
        """Write `last.pt` with what `State.state_dict` gives."""
        if self.ranks.is_first:
            save_checkpoint(self.folder / "last.pt", {**self.metadata, **state})

    def save_best(self, model: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Write `best.pt` with the weights of the best epoch and their validation metrics."""
        if self.ranks.is_first:
            save_checkpoint(self.folder / "best.pt", {**self.metadata, "model": model, "best": metrics})

    def save_epoch(self, epoch: int, model: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Write `epoch_N.pt`: like `best.pt`, of an epoch that is kept."""
        if self.ranks.is_first:
            content = {**self.metadata, "model": model, "best": {**metrics, "val/epoch": epoch}}
            save_checkpoint(self.folder / f"epoch_{epoch:04}.pt", content)

    def remove_epochs(self, unwanted: Callable[[int], bool]) -> None:
        """Remove the `epoch_N.pt` of each unwanted epoch."""
        if self.ranks.is_first:
            for epoch, file in epoch_files(self.folder).items():
                if unwanted(epoch):
                    file.unlink(missing_ok=True)

    def _read_last(self) -> dict[str, Any] | None:
        last, best = self.folder / "last.pt", self.folder / "best.pt"
        if not last.exists() and not best.exists():
            return None
        saved = load_checkpoint(last)
        if "optimizer" not in saved:
            raise ValueError(
                f"{last} has no optimizer state, as if it were a best.pt: "
                "put the run's own last.pt back, or train again in another hydra.run.dir"
            )
        if saved["best"]:
            load_checkpoint(best)
        return saved
