"""How every command refuses bad input: with one line, and a status of 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def refusal(command: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """The line with which a command ends that is called with these arguments."""
    with pytest.raises(SystemExit) as refused:
        command(*arguments, **named)
    message = refused.value.code
    assert isinstance(message, str), "a text for an exit code is printed to stderr, with status 1"
    assert message.startswith("error: ")
    assert "\n" not in message
    return message
