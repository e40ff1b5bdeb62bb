"""What this machine can reach: SLURM, W&B, pretrained weights, Quick, Draw!."""

from __future__ import annotations

import http.client
import importlib.metadata
import os
import queue
import shutil
import subprocess
import threading
import urllib.request
from urllib.parse import urlparse

from deepdraw.doctor import Finding, first_line
from deepdraw.loggers import wandb_key, wandb_server

TIMEOUT = 3.0  # seconds that a server gets to answer


def check_slurm(name: str) -> Finding:
    """Jobs can be submitted and asked after."""
    missing = [tool for tool in ("sbatch", "squeue", "sacct") if not shutil.which(tool)]
    if "sbatch" in missing:
        return Finding(name, "ok", "no SLURM on this machine: sweeps run locally")
    config = f"SLURM_CONF={os.environ.get('SLURM_CONF', '(default)')}"
    try:
        sinfo = ["sinfo", "--noheader", "--format=%P %a"]
        answer = subprocess.run(sinfo, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        text = f"sbatch is here, but sinfo does not answer ({first_line(error)}); {config}"
        return Finding(name, "warning", text, "export SLURM_CONF, or ask whether the controller is up")
    partitions = ", ".join(line.split()[0] for line in answer.stdout.splitlines() if line.strip())
    if missing:
        text = f"partitions {partitions}, but no {' and no '.join(missing)}: a killed job goes unnoticed"
        return Finding(name, "warning", text, "install slurm-client, or watch the logs of the jobs")
    return Finding(name, "ok", f"partitions {partitions}; {config}")


def check_wandb(name: str) -> Finding:
    """Runs could be logged to W&B. Nothing is sent."""
    try:
        version = importlib.metadata.version("wandb")
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "warning", "not installed (logger=wandb needs it)", "pip install wandb")
    mode = os.environ.get("WANDB_MODE", "online")
    if mode != "online":
        return Finding(name, "ok", f"{version}, WANDB_MODE={mode}")
    key, host = wandb_key(), wandb_server()
    if key == "WANDB_API_KEY":
        return Finding(name, "ok", f"{version}, logs in with WANDB_API_KEY")
    if key:
        return Finding(name, "ok", f"{version}, logs in to {host} with {key}")
    fix = "wandb login, or send them later with wandb sync"
    return Finding(name, "warning", f"{version}, not logged in to {host}: logger=wandb keeps its runs here", fix)


def check_hub(name: str) -> Finding:
    """Pretrained weights can be downloaded."""
    fix = "backbone.pretrained=FILE with weights fetched elsewhere, or backbone.pretrained=false"
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON"):
        return Finding(name, "warning", "HF_HUB_OFFLINE is set: only weights in the cache load", fix)
    return _check_server(name, os.environ.get("HF_ENDPOINT", "https://huggingface.co"), fix)


def check_bucket(name: str) -> Finding:
    """Quick, Draw! can be downloaded."""
    url = "https://storage.googleapis.com/quickdraw_dataset/full/simplified/cat.ndjson"
    return _check_server(name, url, "copy the files here and name their folder by source=, or data=doodles")


def _check_server(name: str, url: str, fix: str) -> Finding:
    host = urlparse(url).hostname
    answers: queue.Queue[str] = queue.Queue()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()
            answers.put("")
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: no URL at all
            answers.put(first_line(getattr(error, "reason", error)))

    threading.Thread(target=ask, daemon=True).start()  # a name lookup has no timeout of its own
    try:
        failure = answers.get(timeout=TIMEOUT)
    except queue.Empty:
        failure = f"no answer in {TIMEOUT:.0f} s"
    if failure:
        return Finding(name, "warning", f"{host} cannot be reached ({failure})", fix)
    return Finding(name, "ok", f"{host} answers")
