"""The text of `train.py --help` and `evaluate.py --help`: the files of `conf/` themselves, with their comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill

from deepdraw.config.suggestions import groups_of, suggest_option, typed_command
from deepdraw.runtime import as_called, existing_folder, scripts_folder

HELP = {"-h", "--help"}
ASKED = re.compile(r"\+?(?P<group>[a-z_/]+)(=(?P<option>\w+))?")
USAGE = """usage: {command} [GROUP=OPTION ...] [KEY=VALUE ...]

  --help GROUP           what each option of a group is
  --help GROUP=OPTION    the keys of an option, with their comments; those of --config-dir DIR, too
"""
FLAGS = """  --cfg job              the whole config that a command line stands for
  --hydra-help           the flags of Hydra
  -sc install=bash       shell completion: eval "$({command} -sc install=bash)", or install=zsh|fish
"""
SWEEPS = """Sweeps: -m trains one run for each combination of KEY=VALUE,VALUE, with hydra/launcher=
{launchers}
Ready ones are {sweeps}.
"""


def help_text(command: str, words: Sequence[str]) -> str:
    """What a command answers to --help among these words.

    Raises ValueError, in one line, for a group or an option that there is not.
    """
    places = [scripts_folder() / "conf", *config_folders(words)]
    asked = [found for word in words if (found := ASKED.fullmatch(word)) and _files(found["group"], places)]
    if asked:
        return "\n\n".join(_part(found["group"], found["option"], places) for found in asked)
    text = (scripts_folder() / "conf" / f"{command}.yaml").read_text(encoding="utf-8")
    own, _, hydra = text.partition("\nhydra:")
    parts = [
        _usage(command),
        own.strip(),
        "",
        "Options of each group:",
        *_options_of(command, places),
        "",
    ]
    if command == "train":
        launchers = "\n".join(f"  {name:8}{_about(file)}" for name, file in _files("hydra/launcher", places).items())
        sweeps = ", ".join(f"+sweep={name}" for name in _files("sweep", places))
        parts += [SWEEPS.format(launchers=launchers, sweeps=sweeps)]
        folders = re.findall(r"^ +dir: (\S+)", hydra, re.MULTILINE)
        written = zip(("hydra.run.dir", "hydra.sweep.dir"), folders, strict=True)
        parts += ["Written to:", *(f"  {key}={folder}" for key, folder in written)]
    elif command == "evaluate":
        parts += [
            "Written to <run>/evaluations/<split>.json, beside the checkpoint's own run, and into its report.html"
        ]
    return "\n".join(parts)


def _usage(command: str) -> str:
    """How a command is called, and the flags that it has."""
    flags = FLAGS if command in ("train", "evaluate") else ""
    return f"{USAGE}{flags}".format(command=as_called(typed_command(command)))


def config_folders(words: Sequence[str]) -> Iterator[Path]:
    """The user's own directories of options, as --config-dir names them."""
    for word, after in zip(words, (*words[1:], ""), strict=False):
        name, _, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            yield existing_folder(value or after, "--config-dir=")


def _options_of(command: str, places: Sequence[Path]) -> list[str]:
    own = [folder.name for place in places[1:] for folder in sorted(place.iterdir()) if folder.is_dir()]
    groups = dict.fromkeys((*groups_of(command), *(("experiment",) if command == "train" else ()), *own))
    files = {group: _files(group, places) for group in groups if command == "train" or group != "experiment"}
    return [
        fill(f"{group}: {', '.join(names)}", 100, subsequent_indent="  ") for group, names in files.items() if names
    ]


def _part(group: str, option: str | None, places: Sequence[Path]) -> str:
    files = _files(group, places)
    if option is None:
        width = max(map(len, files)) + 2
        return "\n".join([f"{group}:", *(f"  {name:{width}}{_about(file)}" for name, file in files.items())])
    if option not in files:
        hint = suggest_option(group, option, files) or "choose"
        raise ValueError(f"there is no {group}={option}: {hint} one of {', '.join(files)}")
    return f"{group}={option}:\n{files[option].read_text(encoding='utf-8').rstrip()}"


def _about(file: Path) -> str:
    """The sentence at the head of an option's file, or what its command says at its right."""
    lines = file.read_text(encoding="utf-8").splitlines()
    head = [line[1:].strip() for line in lines if line.startswith("#") and not line.startswith("# @package")]
    sentences = " ".join(line for line in head if not line.startswith("python "))
    beside = next((line.partition("       ")[2].strip() for line in head if line.startswith("python ")), "")
    return re.split(r"(?<=[a-z)0-9])[.:] ", f"{sentences or beside} ", maxsplit=1)[0].strip().rstrip(".")


def _files(group: str, places: Sequence[Path]) -> dict[str, Path]:
    """The options of a group and their files; of two of one name Hydra takes that of the first place."""
    found = {file.stem: file for place in reversed(places) for file in (place / group).glob("*.yaml")}
    return dict(sorted(found.items()))
