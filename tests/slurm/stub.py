"""A job that takes no time to start: it counts its steps as a run does, and fails as it is told."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import hydra
from omegaconf import DictConfig

from deepdraw.runtime.run import hydra_run_directory, one_line_errors
from deepdraw.runtime.signals import StopSignal


@hydra.main(version_base="1.3", config_path="conf", config_name="stub")
@one_line_errors
def main(cfg: DictConfig) -> float:
    """The higher the nearer `lr` is to 0.3."""
    rank = int(os.environ.get("SLURM_PROCID", "0"))
    if cfg.does == "raise" and rank == int(os.environ.get("SLURM_NTASKS", "1")) - 1:
        raise ValueError(f"lr={cfg.lr} cannot be on rank {rank}")
    if cfg.does == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if cfg.does == "memory":
        hog = bytearray(os.urandom(1 << 20)) * (4 << 10)  # 4 GB
        time.sleep(30)
        print(len(hog))
    if cfg.does == "sleep":
        time.sleep(300)
    count(hydra_run_directory() / "checkpoints/last.pt", cfg.steps)
    return -abs(cfg.lr - 0.3)


def count(last: Path, steps: int) -> None:
    """Take ten steps a second, in stretches of which each goes on where the one before it saved."""
    saved = json.loads(last.read_text()) if last.exists() else {"step": 0, "starts": []}
    step, starts = saved["step"], [*saved["starts"], saved["step"]]
    last.parent.mkdir(parents=True, exist_ok=True)
    with StopSignal() as stop:
        while step < steps:
            time.sleep(0.1)
            step += 1
            if stop.requested or step == steps:
                last.write_text(json.dumps({"step": step, "starts": starts}))
            stop.raise_if_requested()


if __name__ == "__main__":
    main()
