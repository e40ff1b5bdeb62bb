"""deepdraw trains, probes and evaluates pretrained vision encoders on hand-drawn sketches."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from deepdraw.inference import Recognizer

__version__ = "0.2.0"


def load(ckpt: str | Path, *, device: str = "auto", precision: str = "auto", trust: Collection[str] = ()) -> Recognizer:
    """A trained classifier that recognizes drawings: `deepdraw.load("best.pt").predict("cat.png")`.

    Args:
        ckpt: a best.pt or last.pt of train.py. It holds the class names and how drawings are to be rasterized.
        device: auto (cuda where there is one, else cpu), cpu, cuda, cuda:1 ...
        precision: auto, bf16, fp16 or fp32.
        trust: packages, beside deepdraw's own libraries, whose classes the checkpoint may name.

    Raises:
        ValueError: in one line, where the checkpoint is missing, damaged, or cannot be used here.
    """
    from deepdraw.inference import (
        Recognizer,  # torch: slow to import
        rebuild,
    )

    return Recognizer(rebuild(ckpt, device=device, precision=precision, trust=trust))
