"""Predicts the classes of drawings, as CSV or JSON lines (`python -m deepdraw.predict ckpt=CKPT input=FILE`)."""

from __future__ import annotations

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from omegaconf import MISSING

from deepdraw.runtime import (
    CheckpointOptions,
    csv_cell,
    existing_file,
    existing_path,
    name_grown,
    open_growing,
    open_regular,
    run_command,
    shown,
    suffix_among,
)

if TYPE_CHECKING:
    from deepdraw.drawings import PointSampler
    from deepdraw.inference.recognizer import Guess, Recognizer


COLUMNS = ("file", "key_id")  # by which a drawing is named
LONGEST_LINE = 1 << 16  # bytes of a line of an output


@dataclass
class Options(CheckpointOptions):
    """The options of the command, each as key=value. Raises ValueError for impossible values."""

    input: str = field(
        default=MISSING,
        metadata={"help": "an image, a folder of images, or a file of drawings: .ndjson, .bin, .csv, .npz, .npy"},
    )
    output: str | None = field(default=None, metadata={"help": "FILE.csv or FILE.jsonl; default: CSV on stdout"})
    top: int = field(default=5, metadata={"help": "names for each drawing, the likeliest first"})
    classes: str | None = field(
        default=None, metadata={"help": "a file of classes that were taught to ckpt, to be guessed beside its own"}
    )
    batch_size: int = field(default=64, metadata={"help": "drawings that the network sees at once"})

    def __post_init__(self) -> None:
        super().__post_init__()
        existing_path(self.input, "input=")
        if self.classes is not None:
            existing_file(self.classes, "classes=")
        for name in ("top", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} predicts nothing: give at least 1")
        if self.output is not None and Path(self.output).suffix not in (".csv", ".jsonl"):
            raise ValueError(f"output={self.output} is neither CSV nor JSON lines: name it FILE.csv or FILE.jsonl")


@dataclass(frozen=True, eq=False)
class Inputs:
    """The drawings to predict, each with its name: a `file` or a `key_id`."""

    column: str
    number: int
    named: Iterable[tuple[str, Any]]


def open_inputs(path: Path, points: PointSampler | None) -> Inputs:
    """The drawings of an image, of all images in a folder and below it, or of a file of drawings.

    All drawings are read once to check them. Raises ValueError, in one line, if one is broken or there is none, or one
    is an image where the network sees `points` that images are refused for.
    """
    from deepdraw.drawings import DRAWING_SUFFIXES, SUFFIXES, whole_sketches
    from deepdraw.inference.inputs import check_file, drawing_of, image_files

    path = existing_path(path, "input=")
    if suffix_among(path.name, SUFFIXES) and not path.is_dir():
        number = sum(1 for _ in whole_sketches(path))
        inputs = Inputs("key_id", number, ((str(sketch.key_id), drawing_of(sketch)) for sketch in whole_sketches(path)))
    else:
        files = image_files(path) if path.is_dir() else [path]
        with ThreadPoolExecutor() as threads:
            check = check_file
            if points is not None and points.images == "refused":
                check = partial(_check_strokes, points)
            for _ in threads.map(check, files):
                pass
        inputs = Inputs("file", len(files), ((str(file), file) for file in files))
    if not inputs.number:
        raise ValueError(
            f"input={path} holds no drawing: give a file or folder of {', '.join((*DRAWING_SUFFIXES, *SUFFIXES))}"
        )
    return inputs


def _check_strokes(points: PointSampler, file: Path) -> None:
    """Raise ValueError where a file is no SVG file, or one that cannot be read."""
    from deepdraw.inference.inputs import pack

    pack([file], points)


def predict(recognizer: Recognizer, inputs: Inputs, output: Path | None, top: int, batch_size: int) -> None:
    """Write a row for each drawing, batch by batch. Ctrl-C takes effect between two batches."""
    from rich.console import Console

    from deepdraw.runtime import Bar, StopSignal

    top, named = min(top, len(recognizer.classes)), iter(inputs.named)
    bar = Bar("predicting", -(-inputs.number // batch_size), batch_size, console=Console(stderr=True))
    with _open_output(output) as file, bar, StopSignal() as stop:
        as_json = output is not None and output.suffix == ".jsonl"
        file.write("" if as_json else _header(inputs.column, top))
        while batch := list(islice(named, batch_size)):
            names, drawings = zip(*batch, strict=True)
            guesses = recognizer.predict(list(drawings), top, batch_size)
            rows = zip(names, guesses, strict=True)
            file.write(_json_lines(inputs.column, rows) if as_json else _csv_lines(rows))
            file.flush()
            bar.advance()
            stop.raise_if_requested()


def check_output(output: Path) -> None:
    """Raise ValueError, in one line, where there is a file that predict did not write, or no regular one."""
    if not output.exists():
        return
    with open_regular(output, fix="choose another output") as file:
        first = file.readline(LONGEST_LINE)
    is_own = first.startswith(tuple(f"{column},name_1,probability_1".encode() for column in COLUMNS))
    if output.suffix == ".jsonl":
        is_own = first.startswith(tuple(f'{{"{column}": '.encode() for column in COLUMNS)) and b'"names": [' in first
    if first and not is_own:
        raise ValueError(f"output={shown(output)} is there, and predict did not write it: choose another, or delete it")


@contextmanager
def _open_output(output: Path | None) -> Iterator[TextIO]:
    """stdout, or a file that gets its final name when it is complete."""
    if output is None:
        yield sys.stdout
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with io.TextIOWrapper(io.BufferedWriter(open_growing(part, end=0)), encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            name_grown(part, output)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ValueError(f"output={output} cannot be written ({error.strerror}): choose another file") from error


def _header(column: str, top: int) -> str:
    places = (f"name_{place},probability_{place}" for place in range(1, top + 1))
    return ",".join([column, *places]) + "\n"


def _csv_lines(rows: Iterable[tuple[str, list[Guess]]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name, guesses in rows:
        found = chain.from_iterable((csv_cell(guess.name), f"{guess.probability:.6f}") for guess in guesses)
        writer.writerow([csv_cell(name), *found])
    return text.getvalue()


def _json_lines(column: str, rows: Iterable[tuple[str, list[Guess]]]) -> str:
    records = (
        {
            column: name,
            "names": [guess.name for guess in guesses],
            "probabilities": [round(guess.probability, 6) for guess in guesses],
        }
        for name, guesses in rows
    )
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return text.encode("utf-8", "backslashreplace").decode()  # a file's name may hold bytes that are no text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; bad input ends it with one line, before anything is written."""
    line = "python -m deepdraw.predict ckpt=CKPT input=FILE [output=FILE.csv] [key=value ...]"
    interrupted = "interrupted: the rows of all drawings so far are on stdout, or in the output's .part"
    return run_command(Options, line, run, arguments, interrupted=interrupted)


def run(options: Options) -> None:
    """Predict as the options say."""
    from deepdraw.inference.recognizer import open_recognizer
    from deepdraw.inference.trained import rebuild

    output = Path(options.output) if options.output else None
    if output is not None:
        check_output(output)
    trained = rebuild(
        options.ckpt,
        device=options.device,
        precision=options.precision,
        trust=options.trusted,
        images=options.images,
    )
    recognizer = open_recognizer(trained, options.classes)
    inputs = open_inputs(Path(options.input), trained.points)
    try:
        predict(recognizer, inputs, output, options.top, options.batch_size)
        if output is not None:  # stdout is for rows alone
            print(f"{inputs.number:,} drawings predicted, written to {shown(output)}", file=sys.stderr)
    except BrokenPipeError:  # whoever reads the rows has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
