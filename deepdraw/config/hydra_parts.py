"""The private parts of Hydra that deepdraw replaces while a command composes its config, since Hydra has no hook there.

A later Hydra may have them elsewhere. Then they stay as they are, and the command works with Hydra's own words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


def hydra_part(name: str) -> Any:
    """`hydra._internal.<name>`; None for a Hydra that has none of this name."""
    module, _, attribute = name.partition(".")
    try:
        part = import_module(f"hydra._internal.{module}")
    except ImportError:
        return None
    return getattr(part, attribute, None) if attribute else part


@contextmanager
def replaced(owner: Any, name: str, by: Callable[[Any], Any]) -> Iterator[None]:
    """Meanwhile an attribute is what `by` makes of it; nothing happens where there is none."""
    before = getattr(owner, name, None)
    if before is None:
        yield
        return
    setattr(owner, name, by(before))
    try:
        yield
    finally:
        setattr(owner, name, before)
