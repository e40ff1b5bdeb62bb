"""The number format in which the network computes: autocast and loss scaling, or neither."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


class Precision:
    """Mixed precision on one device: `auto` is bf16 if the device computes in it, else fp16 on GPUs and fp32 on CPUs.

    Weights stay in fp32. With fp16 the loss is scaled so that small gradients do not underflow.
    """

    def __init__(self, name: Literal["auto", "bf16", "fp16", "fp32"], device: torch.device) -> None:
        if name == "auto":
            name = "bf16" if _computes_in_bf16(device) else "fp16" if device.type == "cuda" else "fp32"
        if name not in DTYPES:
            raise ValueError(f"precision={name} is unknown: choose auto, bf16, fp16 or fp32")
        self.name, self.device = name, device

    def autocast(self) -> AbstractContextManager[None]:
        """The context for forward pass and loss."""
        return torch.autocast(self.device.type, DTYPES[self.name], enabled=self.name != "fp32")

    def scaler(self) -> torch.amp.GradScaler:
        """The loss scaler. It does nothing unless the precision is fp16."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")


def _computes_in_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than fp32 on this device: on GPUs since Ampere, and on processors with AMX units."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


def find_device(name: str) -> torch.device:
    """The device of that name; `auto` is cuda if available, else cpu. Raises ValueError if it is not available."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={name} is not available ({reason}): use device=auto or device=cpu") from error
    return torch.device(name)
