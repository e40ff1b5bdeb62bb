"""One-line messages for what Hydra refuses before a command's own code runs, such as an unknown option."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import extract_tb
from typing import Any

import hydra
import omegaconf
from hydra._internal import utils
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from deepdraw.config.paths import quote_paths, quoted_word
from deepdraw.config.roles import ROLES
from deepdraw.runtime import did_you_mean, failure_line, keeps_tracebacks

EXTRAS = {"hydra/sweeper/optuna": "optuna"}  # options that an extra of deepdraw brings
GROUPS = {"experiment", "protocol", "sweep", "hydra", *(place.partition(".")[0] for place in ROLES)}
NOISE = ("full_key:", "object_type=", "reference_type=", "See https://", "provider=", "Config search path:")
LIBRARIES = tuple(str(Path(str(library.__file__)).parent) for library in (hydra, omegaconf))


def one_line_compose_errors(main: Callable[[], Any]) -> Callable[[], Any]:
    """Show an error of Hydra as one line. HYDRA_FULL_ERROR=1 keeps the traceback, and so do the jobs of a sweep."""

    @functools.wraps(main)
    def wrapped() -> Any:
        sys.argv[1:] = quote_paths(sys.argv[1:])
        hydras_own = utils.run_and_report
        if keeps_tracebacks():  # Hydra itself knows no other value than 1
            utils.run_and_report = lambda func: func()
        else:
            utils.run_and_report = lambda func: hydras_own(lambda: _in_one_line(func))
        try:
            return main() if keeps_tracebacks() else _in_one_line(main)
        finally:
            utils.run_and_report = hydras_own

    return wrapped


def _in_one_line(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        frames = extract_tb(error.__traceback__)
        line = None if any(frame.name == "run_job" for frame in frames) else compose_line(error, frames[-1].filename)
        if line is None:  # the error comes from a job, or is a bug in deepdraw
            raise
        sys.exit(f"error: {line}")


def compose_line(error: Exception, raised_in: str, words: Sequence[str] | None = None) -> str | None:
    """The one-line message for an exception raised while Hydra composed the config; None for a bug in deepdraw.

    raised_in: the file of the code that raised it; words: the overrides, those of the command by default.
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        if error.missing_cfg_file in EXTRAS:
            return f"{group}={option} is not installed: pip install 'deepdraw[{EXTRAS[error.missing_cfg_file]}]'"
        hint = did_you_mean(option, error.options)
        choose = f"{hint} Choose" if hint else "choose"
        return f"there is no {group}={option}: {choose} one of {', '.join(error.options)}"
    culprits = " ".join(_unreadable(sys.argv[1:] if words is None else words))
    if isinstance(error, HydraException | OmegaConfBaseException):
        message = str(error)
        if isinstance(error.__cause__, OmegaConfBaseException):
            message += f"\n({str(error.__cause__).splitlines()[0]})"
        lines = [line.strip() for line in message.splitlines() if not line.strip().startswith(NOISE)]
        message = " ".join(filter(None, lines))
        if isinstance(error, OverrideParseException):
            return f"{culprits} cannot be read ({message}){_how_to_quote(culprits)}"
        return message
    if raised_in.startswith(LIBRARIES):  # Hydra and OmegaConf do not check the types of some values before use
        return f"{culprits or 'an override'} chooses no option: give the name of one, as --help lists them ({error})"
    return failure_line(error)


def _how_to_quote(word: str) -> str:
    """The fix for a word whose value was meant as one text; nothing where the value has quotes already."""
    _, _, value = word.partition("=")
    return f": if its value is one text, write {quoted_word(word)}" if value and not set(value) & set("'\"[{") else ""


def _unreadable(words: Sequence[str]) -> list[str]:
    """The overrides that Hydra cannot parse, or that do not choose an option of a group by its name."""
    parser, found = OverridesParser.create(), []
    for word in words:
        if word.startswith("-"):
            continue
        try:
            override = parser.parse_override(word)
        except HydraException:
            found.append(word)
            continue
        value = override.value()
        names = value if isinstance(value, list) else [value]
        group = override.key_or_group
        if (group in GROUPS or not group or "/" in group) and not all(isinstance(name, str) for name in names):
            found.append(word)
    return found
