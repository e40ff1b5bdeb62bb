"""The text of `train.py --help` and `evaluate.py --help`: the files of `conf/` themselves, with their comments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from deepdraw.config.suggestions import groups_of, suggest_option
from deepdraw.runtime import scripts_folder

HELP = {"-h", "--help"}
ASKED = re.compile(r"\+?(?P<group>[a-z_/]+)(=(?P<option>\w+))?")
USAGE = """usage: python {command}.py [GROUP=OPTION ...] [KEY=VALUE ...]

  --help GROUP           what each option of a group is
  --help GROUP=OPTION    the keys of an option, with their comments
  --cfg job              the whole config that a command line stands for
  --hydra-help           the flags of Hydra
  -sc install=bash       shell completion: eval "$(python {command}.py -sc install=bash)", or install=zsh|fish
"""
SWEEPS = """Sweeps: -m trains one run for each combination of KEY=VALUE,VALUE, with hydra/launcher=
{launchers}
Ready ones are {sweeps}.
"""


def help_text(command: str, words: Sequence[str]) -> str:
    """What `train` or `evaluate` answers to --help among these words.

    Raises ValueError, in one line, for a group or an option that there is not.
    """
    asked = [found for word in words if (found := ASKED.fullmatch(word)) and _folder(found["group"]).is_dir()]
    if asked:
        return "\n\n".join(_part(found["group"], found["option"]) for found in asked)
    text = (scripts_folder() / "conf" / f"{command}.yaml").read_text(encoding="utf-8")
    own, _, hydra = text.partition("\nhydra:")
    parts = [USAGE.format(command=command), own.strip(), "", "Options of each group:", *_options_of(command), ""]
    if command == "train":
        launchers = "\n".join(f"  {name:8}{_about(name, 'hydra/launcher')}" for name in _names("hydra/launcher"))
        sweeps = ", ".join(f"+sweep={name}" for name in _names("sweep"))
        parts += [SWEEPS.format(launchers=launchers, sweeps=sweeps)]
        folders = re.findall(r"^ +dir: (\S+)", hydra, re.MULTILINE)
        places = zip(("hydra.run.dir", "hydra.sweep.dir"), folders, strict=True)
        parts += ["Written to:", *(f"  {key}={folder}" for key, folder in places)]
    else:
        parts += [
            "Written to <run>/evaluations/<split>.json, beside the checkpoint's own run, and into its report.html"
        ]
    return "\n".join(parts)


def _options_of(command: str) -> list[str]:
    groups = [group for group in (*groups_of(command), "experiment") if _folder(group).is_dir()]
    chosen = [group for group in dict.fromkeys(groups) if command == "train" or group != "experiment"]
    return [fill(f"{group}: {', '.join(_names(group))}", 100, subsequent_indent="  ") for group in chosen]


def _part(group: str, option: str | None) -> str:
    names = _names(group)
    if option is None:
        width = max(map(len, names)) + 2
        return "\n".join([f"{group}:", *(f"  {name:{width}}{_about(name, group)}" for name in names)])
    if option not in names:
        hint = suggest_option(group, option, names) or "choose"
        raise ValueError(f"there is no {group}={option}: {hint} one of {', '.join(names)}")
    return f"{group}={option}:\n{(_folder(group) / f'{option}.yaml').read_text(encoding='utf-8').rstrip()}"


def _about(option: str, group: str) -> str:
    """The sentence at the head of an option's file, or what its command says at its right."""
    lines = (_folder(group) / f"{option}.yaml").read_text(encoding="utf-8").splitlines()
    head = [line[1:].strip() for line in lines if line.startswith("#") and not line.startswith("# @package")]
    sentences = " ".join(line for line in head if not line.startswith("python "))
    beside = next((line.partition("       ")[2].strip() for line in head if line.startswith("python ")), "")
    return re.split(r"(?<=[a-z)0-9])[.:] ", f"{sentences or beside} ", maxsplit=1)[0].strip().rstrip(".")


def _folder(group: str) -> Path:
    return scripts_folder() / "conf" / group


def _names(group: str) -> list[str]:
    return sorted(file.stem for file in _folder(group).glob("*.yaml"))
