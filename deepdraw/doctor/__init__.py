"""Whether this machine can train: a line for each thing that it takes, by `python -m deepdraw.doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """What a check found. A problem keeps training from working, a warning only some part of it."""

    name: str
    status: Status
    text: str
    fix: str = ""


def first_line(error: object) -> str:
    """The first line of an error's message: a finding is one line."""
    return str(error).partition("\n")[0]
