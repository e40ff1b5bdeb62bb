"""One-line messages for what Hydra refuses before a command's own code runs, such as an unknown option."""

from __future__ import annotations

import functools
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from traceback import extract_tb
from typing import Any

import hydra
import omegaconf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from deepdraw.config.experiments import experiments_follow_choices
from deepdraw.config.help import HELP, help_text
from deepdraw.config.hydra_parts import hydra_part, replaced
from deepdraw.config.other_names import OTHER_KEYS, OTHER_WAYS
from deepdraw.config.paths import quote_paths, quoted_word
from deepdraw.config.roles import ROLES
from deepdraw.config.suggestions import groups_of, keys_below, known_keys, suggest_key, suggest_option, typed_command
from deepdraw.config.words import check_words, unreadable_line
from deepdraw.runtime import failure_line, keeps_tracebacks, scripts_folder, shown

EXTRAS = {"hydra/sweeper/optuna": "optuna"}  # options that an extra of deepdraw brings
GROUPS = {"experiment", "format", "protocol", "sweep", "hydra", *(place.partition(".")[0] for place in ROLES)}
NOISE = ("full_key:", "object_type=", "reference_type=", "See https://", "provider=", "Config search path:")
UNKNOWN_KEY = re.compile(r"Could not (?:override|delete from config\.) '(?P<key>[^']+)'(?!\. No match)")
UNKNOWN_GROUP = re.compile(r"Could not override '(?P<group>[^']+)'\.?\s+No match in the defaults list")
AMBIGUOUS = re.compile(r"Ambiguous value for argument '(?P<word>[^']*(?:'[^']*'[^']*)*)'\s+1\.")
TWICE = re.compile(r"Multiple values for (?P<group>[\w/@.]+)\. To override a value use 'override \S+ (?P<option>\S+)'")
THERE_ALREADY = re.compile(r"Could not append to config\. An item is already at '(?P<key>[^']+)'")
LISTED = re.compile(r"Could not load '(?P<group>[\w/]+)/(?P<option>[^'/]+)'")
LIBRARIES = tuple(str(Path(str(library.__file__)).parent) for library in (hydra, omegaconf))


def one_line_compose_errors(main: Callable[[], Any]) -> Callable[[], Any]:
    """Show an error of Hydra as one line. HYDRA_FULL_ERROR=1 keeps the traceback, and so do the jobs of a sweep."""

    @functools.wraps(main)
    def wrapped() -> Any:
        command = command_of(sys.argv[0])
        try:
            if HELP & set(sys.argv[1:]):
                return print(help_text(command, sys.argv[1:]))
            check_words(sys.argv[1:], command)
        except ValueError as error:
            if keeps_tracebacks():
                raise
            sys.exit(f"error: {failure_line(error)}")
        sys.argv[1:] = quote_paths(sys.argv[1:])
        with experiments_follow_choices(), replaced(hydra_part("utils"), "run_and_report", _reported_here):
            return main() if keeps_tracebacks() else _in_one_line(main)

    return wrapped


def command_of(script: str) -> str:
    """The name of the command, `train` or `evaluate`, that a script is."""
    return "evaluate" if Path(script).stem == "evaluate" else "train"


def _reported_here(_: Callable[[Callable[[], Any]], Any]) -> Callable[[Callable[[], Any]], Any]:
    """In the place of Hydra's own report of an error: let it rise to the command."""
    return lambda call: call()


def _in_one_line(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        frames = extract_tb(error.__traceback__)
        line = None if any(frame.name == "run_job" for frame in frames) else compose_line(error, frames[-1].filename)
        if line is None:  # the error comes from a job, or is a bug in deepdraw
            raise
        sys.exit(f"error: {line}")


def compose_line(
    error: Exception, raised_in: str, words: Sequence[str] | None = None, command: str | None = None
) -> str | None:
    """The one-line message for an exception raised while Hydra composed the config; None for a bug in deepdraw.

    raised_in: the file of the code that raised it; words: the overrides, and command: train or evaluate, those of the
    process by default.
    """
    words = sys.argv[1:] if words is None else words
    command = command or command_of(sys.argv[0])
    if isinstance(error, HydraException) and (missing := _missing_option(error)):
        return _no_option(*missing, words)
    culprits = _unreadable(words)
    if isinstance(error, HydraException | OmegaConfBaseException):
        message = str(error)
        if line := _known_error(message, words, command):
            return line
        if isinstance(error, OverrideParseException) and culprits:
            return shown(unreadable_line(culprits[0]))
        if isinstance(error.__cause__, OmegaConfBaseException):
            message += f"\n({str(error.__cause__).splitlines()[0]})"
        lines = [line.strip() for line in message.splitlines() if not line.strip().startswith(NOISE)]
        return " ".join(filter(None, lines))
    if raised_in.startswith(LIBRARIES):  # Hydra and OmegaConf do not check the types of some values before use
        for word in culprits:
            group, _, option = word.lstrip("+").partition("=")
            if group in GROUPS and (options := list(_options(group))):
                return _no_option(group, option, options, words)
        return f"{' '.join(culprits) or 'an override'} chooses no option: give the name of one, as --help lists them"
    return failure_line(error)


def _missing_option(error: HydraException) -> tuple[str, str, Sequence[str]] | None:
    """The group and the option that Hydra did not find, and the options that there are."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        path = error.missing_cfg_file
        group = next((one for one in sorted(GROUPS) if path.startswith(f"{one}/") and one != "hydra"), "")
        group = group or path.rpartition("/")[0]
        return group, path[len(group) + 1 :], error.options
    if listed := LISTED.search(str(error)):  # an option in a list, such as logger=[csv,nothere]
        return listed["group"], listed["option"], list(_options(listed["group"]))
    return None


def _no_option(group: str, option: str, options: Sequence[str], words: Sequence[str]) -> str:
    if f"{group}/{option}" in EXTRAS:
        return f"{group}={option} is not installed: pip install 'deepdraw[{EXTRAS[f'{group}/{option}']}]'"
    written = next((word.lstrip("+") for word in words if word.lstrip("+").startswith(f"{group}=")), "")
    named = written if written.endswith(option) else f"{group}={option}"
    if not option:
        return f"{group}= chooses no option: choose one of {', '.join(options)}"
    hint = suggest_option(group, option, options)
    choose = f"{hint} Choose" if hint.endswith("?") else f"{hint}, or choose" if hint else "choose"
    further = f"; any model of timm is backbone=timm backbone.name={option}" if group == "backbone" else ""
    return shown(f"there is no {named}: {choose} one of {', '.join(options)}{further}")


def _known_error(message: str, words: Sequence[str], command: str) -> str | None:
    """The line for the errors of Hydra that users meet most; None for any other."""
    if found := UNKNOWN_GROUP.search(message):
        return shown(_unknown_group(found["group"], words, command))
    if found := UNKNOWN_KEY.search(message):
        key = found["key"]
        if "@" in key:
            return shown(_unknown_group(key, words, command))
        word = next((one for one in words if one.lstrip("~").partition("=")[0] == key), f"{key}=...")
        return shown(unknown_key_line(word, command, words))
    if found := AMBIGUOUS.search(message):
        key, _, value = found["word"].partition("=")
        values = ",".join(one.strip() for one in value.split(","))
        if key in GROUPS or "/" in key:
            return shown(f"{key}={values} chooses several options: add -m to train each")
        return shown(
            f"{key}={values} has several values: add -m to train each, or write {shlex.quote(f'{key}=[{values}]')} "
            f"for one list, {quoted_word(f'{key}={value}')} for one text"
        )
    if found := TWICE.search(message):
        return shown(f"+{found['group']}=... is chosen already: write {found['group']}={found['option']}, without +")
    if found := THERE_ALREADY.search(message):
        word = next((one for one in words if one.startswith(f"+{found['key']}=")), f"+{found['key']}=...")
        return shown(f"{word} is there already: write {word[1:]}, without +")
    return None


def unknown_key_line(word: str, command: str, words: Sequence[str]) -> str:
    """The line for an override whose key the config does not have: the nearest key, or those beside it."""
    key = word.lstrip("+~").partition("=")[0]
    group, _, name = key.rpartition(".")
    if fix := OTHER_WAYS.get(key):
        return f"there is no {key}: {fix}"
    if command == "export" and key in known_keys("train") and key not in known_keys("export"):
        return f"{key} is of training, and an export takes it from the checkpoint: leave it out"
    if command == "evaluate" and key in known_keys("train") and key not in OTHER_KEYS:
        return f"{key} is of training, and evaluate.py takes it from the checkpoint: leave it out"
    if command == "train" and key in known_keys("evaluate") and key not in known_keys("train"):
        return f"{key} is of evaluate.py, not of training: leave it out (a run goes on with hydra.run.dir=RUN)"
    if meant := suggest_key(word, command, words):
        if meant.endswith(f" {word}"):  # a key of another option
            return f"there is no {key} with the options chosen: write {meant}"
        return f"there is no {key}: did you mean {meant}?"
    if name and (beside := keys_below(group, command, words)):
        return f"there is no {key}: {group} has {', '.join(sorted(beside))}"
    if name and group.partition(".")[0] in groups_of(command):
        return f"there is no {key}: the option chosen of {group} has no such key (`{typed_command(command)} --cfg job`)"
    return f"there is no {key}: leave it out, or see `{typed_command(command)} --help` for the keys that there are"


def _unknown_group(group: str, words: Sequence[str], command: str) -> str:
    word = next((one for one in words if one.partition("=")[0] == group), f"{group}=...")
    if "@" in group and any(one.startswith("experiment=") for one in words):
        place = group.partition("@")[2].partition(".")[0]
        other = next((one for one in words if one.startswith(f"{place}=")), f"another {place}")
        return f"the experiment is made of {group}, which {other} does not have: leave out one of them"
    if group == "sweep" and command == "train":
        return f"{word} is not in the defaults: write +{word}, with -m"
    if command == "evaluate" and group in groups_of("train"):
        return f"{word} is of the checkpoint, which evaluate.py rebuilds as it was trained: leave {word} out"
    if command == "train" and group in groups_of("evaluate"):
        return f"{word} is an option of evaluate.py, not of training: leave it out here"
    if meant := suggest_key(word, command, words):
        return f"there is no {word}: did you mean {meant}?"
    return f"{word} is not in the defaults: write +{word} to add it"


def _options(group: str) -> Iterator[str]:
    """The options of a group in `conf/`."""
    return (file.stem for file in sorted((scripts_folder() / "conf" / group).glob("*.yaml")))


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
