"""Paths in a config, as people write them: with `~`, spaces, commas, parentheses, `=` or letters of any language.

Hydra's grammar reads these characters only within quotes, and the shell takes away those that a user types. So values
that are paths are put into quotes here, where Hydra cannot read them as they are.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from deepdraw.runtime import expand_home

OUTPUT_KEYS = {"features.dir", "out", "hydra.run.dir", "hydra.sweep.dir"}  # whose folder may be new
WEIGHTS_KEYS = {"backbone.pretrained", "backbone.pixels.pretrained", "backbone.strokes.pretrained"}
PATH_KEYS = {"ckpt", "split", "data.root", "data.file", *WEIGHTS_KEYS, *OUTPUT_KEYS}
WORD = re.compile(r"(?P<key>\+{0,2}(?P<name>[\w./@:-]+))=(?P<value>.*)", re.DOTALL)
BEGINS_A_PATH = re.compile(r"/|\.\.?/|~")
BEGINS_GRAMMAR = re.compile(r"['\"\[{]|(choice|range|interval|glob|shuffle|sort|tag|str|int|float|bool|json_str)\(")


def quote_paths(words: Sequence[str]) -> list[str]:
    """The words of a command, such as `split=my sketches (1)`, in a form that Hydra reads; most stay as they are."""
    is_sweep = not {"-m", "--multirun"}.isdisjoint(words)
    return [_quote_path(word, is_sweep) for word in words]


def expand_homes(config: DictConfig) -> None:
    """Replace `~` at the beginning of every text of a composed config by the home folder."""
    for key, value in list(config.items_ex(resolve=False)):
        if isinstance(value, DictConfig):
            expand_homes(value)
        elif isinstance(value, str) and value.startswith("~"):
            config[key] = expand_home(value)


def quoted_word(word: str) -> str:
    """How to type an override in a shell so that Hydra takes its value for one text."""
    key, _, value = word.partition("=")
    text = f"{key}={_quoted(value)}"
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'


def _quote_path(word: str, is_sweep: bool) -> str:
    match = WORD.fullmatch(word)
    if match is None:
        return word
    name, value = match["name"], match["value"].strip(" ")
    if BEGINS_GRAMMAR.match(value) or not (name in PATH_KEYS or BEGINS_A_PATH.match(value)):
        return word
    if is_sweep and "," in value and name not in OUTPUT_KEYS and not os.path.exists(expand_home(value)):
        return f"{match['key']}={','.join(map(_readable, value.split(',')))}"
    return f"{match['key']}={_readable(value, is_one=name in OUTPUT_KEYS)}"


def _readable(value: str, is_one: bool = False) -> str:
    """A path that Hydra reads as such. is_one: whether commas in it are known not to separate values of a sweep."""
    value = expand_home(value.strip(" "))
    try:
        is_sweep = OverridesParser.create().parse_override(f"key={value}").is_sweep_override()
    except HydraException:
        return _quoted(value)
    return _quoted(value) if is_sweep and (is_one or os.path.exists(value)) else value


def _quoted(text: str) -> str:
    """A text in the quotes of Hydra's grammar, in which a backslash stands for itself but before a quote."""
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"
