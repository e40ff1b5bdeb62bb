"""The words of a command before Hydra reads them: flags that there are not, and words that are no key=value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from deepdraw.config.paths import quoted_word
from deepdraw.config.suggestions import known_keys, suggest_key, typed_command

WITH_VALUE: tuple[str, ...] = (
    "--cfg",
    "-c",
    "--package",
    "-p",
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
    "--config-dir",
    "-cd",
)
WITH_VALUE += ("--experimental-rerun", "--info", "-i")  # flags of Hydra, whose value may be the next word
FLAGS: tuple[str, ...] = (
    *WITH_VALUE,
    "--help",
    "-h",
    "--hydra-help",
    "--version",
    "--resolve",
    "--run",
    "-r",
    "--multirun",
    "-m",
)
FLAGS += ("--shell-completion", "-sc")
CLOSING = {"[": "]", "{": "}", "(": ")"}


def check_words(words: Sequence[str], command: str) -> None:
    """Raise ValueError, in one line, for words of train.py or evaluate.py that can be no flag and no override."""
    for number, word in _own_words(words):
        if word.startswith("-"):
            _check_flag(word, words[number + 1 :], command, words)
        elif "=" not in word and not word.startswith("~"):
            raise ValueError(_without_value(word, list(words), number, command))
        elif word.startswith("=") and number:
            raise ValueError(f"{words[number - 1]} {word} are two words: write {words[number - 1]}{word}")


def unreadable_line(word: str) -> str:
    """What is wrong with an override that Hydra's grammar does not read, and how it is written."""
    key, _, value = word.partition("=")
    if (close := f"{key.strip()}={value.strip(' ,')}") != word and re.fullmatch(r"[\w./@+~]+=[\w./@-]+", close):
        return f"{word} cannot be read: write {close}, without spaces and commas"
    if (opened := _unclosed(value)) in CLOSING:
        text = f"{word}{CLOSING[opened]}"
        return f"{word} cannot be read: {opened} has no {CLOSING[opened]}; write '{text}', in quotes for the shell"
    if opened:
        text = value.replace(opened, "")
        return f"{word} cannot be read: a quote is not closed; write {quoted_word(f'{key}={text}')}"
    if value and not set(value) & set("'\"[{"):
        return f"{word} cannot be read: if its value is one text, write {quoted_word(word)}"
    return f"{word} cannot be read: write key=value, with quotes around it for the shell and in it for a text"


def _own_words(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The words with their numbers, without those that are values of Hydra's flags."""
    is_value = False
    for number, word in enumerate(words):
        if not is_value:
            yield number, word
        is_value = not is_value and word in WITH_VALUE and word not in ("--info", "-i")


def _check_flag(word: str, after: Sequence[str], command: str, words: Sequence[str]) -> None:
    name = word.partition("=")[0]
    is_short = any(word.startswith(flag) for flag in ("-c", "-p", "-i")) and not word.startswith("--")
    is_begun = len(name) > 3 and any(flag.startswith(name) for flag in FLAGS)  # argparse completes them
    if name in FLAGS or is_short or is_begun:
        return
    override = word.lstrip("-")
    if "=" not in override and after and not after[0].startswith("-") and "=" not in after[0]:
        override = f"{override}={after[0]}"
    meant = _meant(override, command, words)
    raise ValueError(f"{word} is no flag: write {meant}, without dashes (for a W&B agent: ${{args_no_hyphens}})")


def _meant(override: str, command: str, words: Sequence[str]) -> str:
    key = override.partition("=")[0]
    keys = known_keys(command)
    if key in keys or key.startswith("hydra"):
        return override if "=" in override else f"{override}=..."
    return suggest_key(override, command, words) or (override if "=" in override else f"{override}=...")


def _without_value(word: str, words: list[str], number: int, command: str) -> str:
    """The line for a word without an equals sign."""
    before, after = words[number - 1] if number else "", words[number + 1] if number + 1 < len(words) else ""
    keys = known_keys(command)
    if after.startswith("="):
        value = after if len(after) > 1 else f"={words[number + 2]}" if number + 2 < len(words) else "=..."
        return f"{word} {after} are two words: write {word}{value}, without spaces"
    if before.endswith((",", "=")):
        return f"{before} {word} are two words: write {before}{word}, without spaces"
    is_path = "/" in word or Path(word).suffix in (".pt", ".pth") or os.path.exists(word)
    if command != "train" and is_path and not any(one.startswith("ckpt=") for one in words):
        return f"{word} is no key=value: write ckpt={word} for a checkpoint or a run directory"
    for separator in (":", " "):
        key, found, value = word.partition(separator)
        if found and (key in keys or suggest_key(key, command)):
            return f"{word} is no key=value: write {_meant(f'{key}={value.strip()}', command, words)}"
    if not is_path and (word in keys or suggest_key(word, command)):
        value = after if after and "=" not in after and not after.startswith("-") else "..."
        return f"{word} has no value: write {_meant(f'{word}={value}', command, words)}"
    if Path(word).suffix in (".yaml", ".yml"):
        folder = os.path.dirname(word) or "."
        return f"{word} is no key=value: options in files of your own are chosen by --config-dir {folder} GROUP=NAME"
    if is_path:
        return f"{word} is no key=value: write data=folder data.root={word} for drawings in it"
    return f"{word} is no key=value: write such as train.epochs=3 (`{typed_command(command)} --help` lists the keys)"


def _unclosed(value: str) -> str:
    """The bracket or the quote of a value that is opened and not closed; an empty text where there is none."""
    waiting: list[str] = []
    quote = ""
    for one in value:
        if quote:
            quote = "" if one == quote else quote
        elif one in "'\"":
            quote = one
        elif one in CLOSING:
            waiting.append(one)
        elif waiting and one == CLOSING[waiting[-1]]:
            waiting.pop()
    return quote or (waiting[-1] if waiting else "")
