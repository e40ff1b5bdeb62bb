"""The `key=value` options of a command. A dataclass defines their names, types, defaults and help."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from textwrap import fill
from typing import Any, TypeVar, get_args, get_type_hints

from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deepdraw.runtime.failures import drop_stdout_that_fails, failure_line, keeps_tracebacks
from deepdraw.runtime.names import did_you_mean
from deepdraw.runtime.paths import local_text
from deepdraw.runtime.run_directory import existing_checkpoint
from deepdraw.runtime.signals import interruptible

Options = TypeVar("Options")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
KINDS = {int: "a whole number", float: "a number", bool: "true or false"}
SAME = (  # options that mean the same in different commands
    {"ckpt", "checkpoint", "model", "weights", "run", "path"},
    {"input", "inputs", "data", "image", "images", "file", "files", "split", "drawings", "source", "path"},
    {"out", "output", "output_dir", "out_dir", "save", "dir", "root"},
    {"root", "data_dir", "data", "out"},
    {"batch_size", "batch", "bs"},
    {"num_workers", "workers", "jobs"},
    {"top", "topk", "k", "top_k"},
)


@dataclass
class CheckpointOptions:
    """The options of every command that uses a trained classifier."""

    ckpt: str = field(
        default=MISSING,
        metadata={
            "help": "a best.pt or last.pt of train.py, a run directory for its best.pt, or hf-hub:OWNER/NAME[@REVISION]"
        },
    )
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:1"})
    precision: str = field(default="auto", metadata={"help": "auto, bf16, fp16 or fp32"})
    trust: str = field(default="", metadata={"help": "packages, with commas, whose classes ckpt may name"})

    images: str | None = field(
        default=None,
        metadata={"help": "refused or traced: of a network that sees strokes; default: as it was trained"},
    )

    def __post_init__(self) -> None:
        existing_checkpoint(self.ckpt)
        check_device_name(self.device)
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision={self.precision} is unknown: choose {', '.join(PRECISIONS)}")
        if self.images not in (None, "refused", "traced"):
            raise ValueError(f"images={self.images} is unknown: choose refused or traced, or leave it out")

    @property
    def trusted(self) -> list[str]:
        """The packages of `trust`, which may be written as evaluate.py takes them: trust=[ours]."""
        return [package for package in map(str.strip, self.trust.strip("[] ").split(",")) if package]


def check_device_name(device: str) -> None:
    """Raise ValueError, in one line, for a GPU as others call it. The rest shows when torch looks for the device."""
    if device.startswith("gpu"):
        raise ValueError(f"device={device} is unknown: write device=cuda{device[3:]}, or auto")


def parse(options: type[Options], arguments: Sequence[str]) -> Options:
    """Make the dataclass `options` from `key=value` arguments. A field whose default is MISSING must be given.

    Raises ValueError, in one line, for an unknown key or a value of a wrong type. So does its `__post_init__`.
    """
    keys = _names(options)
    if arguments and not keys:
        raise ValueError(f"unknown option {arguments[0]!r}: the command takes none")
    pairs = [argument.partition("=") for argument in arguments]
    for key, equals, value in pairs:
        if key not in keys:
            hint = _meant(key, equals, options, arguments) or did_you_mean(key, keys, "{}=...")
            hint = hint or _called_elsewhere(key, value, keys)
            raise ValueError(
                f"unknown option {key!r}: {f'{hint} The' if hint else 'the'} options are {', '.join(keys)}"
            )
        if not equals:
            raise ValueError(f"option {key} has no value: write {key}=...")
    try:
        merged = OmegaConf.merge(
            OmegaConf.structured(options), {key: local_text(value, key) for key, _, value in pairs}
        )
    except OmegaConfBaseException as error:
        key = str(error.full_key)
        value = {name: text for name, _, text in pairs}[key]  # the last one, where a key is given twice
        raise ValueError(f"{key}={value} must be {_kind(options, key)}") from error
    for key, meaning in keys.items():
        if OmegaConf.is_missing(merged, key):
            raise ValueError(f"option {key} is missing: write {key}=... ({meaning})")
    parsed = OmegaConf.to_object(merged)
    assert isinstance(parsed, options)
    return parsed


def usage(options: type[Any], line: str) -> str:
    """The text of --help: a line that shows the command, then every option with its meaning and default."""
    lines = [f"usage: {line}"]
    defaults = {field.name: field.default for field in fields(options)}
    for key, meaning in _names(options).items():
        has_default_in_text = defaults[key] in (MISSING, None, "") or "default:" in meaning
        text = meaning if has_default_in_text else f"{meaning}; default: {defaults[key]}"
        lines.append(fill(text, 100, initial_indent=f"  {key}=".ljust(16), subsequent_indent=" " * 16))
    return "\n".join(lines)


def run_command(
    options: type[Options],
    line: str,
    run: Callable[[Options], int | None],
    arguments: Sequence[str] | None = None,
    *,
    interrupted: str,
) -> int:
    """Run a command of `key=value` options as `run_main` does; --help prints its usage.

    line: how the command is typed, such as `python -m deepdraw.predict input=FILE`.
    """

    def read(words: Sequence[str]) -> Options | None:
        if {"-h", "--help"} & set(words):
            print(usage(options, as_called(line)))
            return None
        return parse(options, words)

    return run_main(read, run, arguments, interrupted=interrupted)


def run_main(
    read: Callable[[Sequence[str]], Options | None],
    run: Callable[[Options], int | None],
    arguments: Sequence[str] | None = None,
    *,
    interrupted: str,
) -> int:
    """Run what every command runs as its `main`: bad input ends it with one line. Returns the exit status of `run`.

    read: makes options of arguments, None where they asked for help alone; arguments: by default those of the process;
    interrupted: what to print on Ctrl-C.
    """
    with one_line_end(interrupted):
        options = read(sys.argv[1:] if arguments is None else arguments)
        status = None if options is None else run(options)
    return status or 0


def as_called(line: str) -> str:
    """A command line that begins with `python -m deepdraw.NAME`, with `deepdraw NAME` if the user called it so."""
    called = sys.argv[0]
    return re.sub(r"^python -m \S+", called, line) if called.startswith("deepdraw ") else line


@contextmanager
def one_line_end(interrupted: str) -> Iterator[None]:
    """Replace tracebacks by one line: for errors of the input or the machine, and `interrupted` on Ctrl-C or SIGTERM.

    The exit status is 1, or 130 after an interruption. HYDRA_FULL_ERROR=1 keeps the traceback. Meanwhile what deepdraw
    logs is shown on stderr.
    """
    try:
        with interruptible(), _log_lines():
            yield
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        sys.exit(130)
    except (Exception, SystemExit) as error:
        line = None if keeps_tracebacks() else failure_line(error)
        if line is None:
            raise
        drop_stdout_that_fails()
        sys.exit(f"error: {line}")


@contextmanager
def _log_lines() -> Iterator[None]:
    """Show what deepdraw logs, such as how many files it took and left, as lines on stderr."""
    logger, handler = logging.getLogger("deepdraw"), logging.StreamHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _meant(word: str, equals: str, options: type[Any], arguments: Sequence[str]) -> str:
    """What was meant by a word with dashes, as other commands have them, or by a value without its key."""
    keys = _names(options)
    bare = word.lstrip("-").replace("-", "_")
    given = {key: value for key, _, value in (argument.partition("=") for argument in arguments)}
    if word.startswith("-") and bare in keys:
        return f"write {bare}={given[word] or '...'}, without dashes."
    needed = [field.name for field in fields(options) if field.default is MISSING and field.name not in given]
    if equals or word.startswith("-") or not needed or not re.search(r"[./\\]", word):
        return ""
    key = needed[0] if word.endswith((".pt", ".pth")) else needed[-1]
    return f"write {key}={word}."


def _called_elsewhere(word: str, value: str, keys: Iterable[str]) -> str:
    """What an option is here that another command, or another project, calls `word`."""
    same = [key for group in SAME if word.lstrip("-") in group for key in keys if key in group and key != "images"]
    return f"write {same[0]}={value or '...'} for it." if same else ""


def _kind(options: type[Any], key: str) -> str:
    """What the values of an option are, in words."""
    hint = get_type_hints(options)[key]
    return next((words for kind, words in KINDS.items() if kind is hint or kind in get_args(hint)), "of another type")


def _names(options: type[Any]) -> dict[str, str]:
    """Every option and its meaning, in order."""
    return {field.name: field.metadata["help"] for field in fields(options)}
