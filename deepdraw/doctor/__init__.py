"""Checks whether this machine can train, one line for each check: `python -m deepdraw.doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """The result of a check. With a problem training cannot work; with a warning some feature cannot."""

    name: str
    status: Status
    text: str
    fix: str = ""


def first_line(error: object) -> str:
    """The first line of an error's message: a finding is one line."""
    return str(error).partition("\n")[0]
