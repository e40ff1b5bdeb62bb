"""How fast an encoder is, whether or not its features are cached."""

from __future__ import annotations

import time
from contextlib import closing

import torch

from deepdraw.evaluation.session import Session

SECONDS = 1.0  # that are measured, or one pass of the encoder where that takes longer
BATCH_ON_CPU = 16  # drawings


@torch.inference_mode()
def encoding_rate(session: Session) -> float:
    """Drawings a second that the encoder takes, without the time to read and draw them: one batch again and again.

    On a GPU the batch is of `data.batch_size` drawings of the session's split, on a CPU of 16.
    """
    trained, size = session.trained, session.config.data.batch_size
    if trained.precision.device.type == "cpu":
        size = min(size, BATCH_ON_CPU)
    with closing(trained.load(session.split, batch_size=size, num_workers=0)) as loader:
        inputs, labels, _ = next(iter(loader.epoch()))

    def encode() -> None:
        with trained.precision.autocast():
            trained.model.features(inputs).sum().item()  # which waits for a GPU

    encode()  # the first pass allocates
    start, passes = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        encode()
        passes += 1
    return passes * len(labels) / (time.perf_counter() - start)
