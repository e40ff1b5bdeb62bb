"""One page that shows a whole run: `report.html`, which needs neither a server nor anything beside itself."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepdraw.data import Recognition
from deepdraw.drawings import NO_IMAGE, check_size, image_size
from deepdraw.evaluation import read_summary
from deepdraw.report.header import facts
from deepdraw.report.pictures import ORDER
from deepdraw.report.results import read_results
from deepdraw.report.tables import Line
from deepdraw.report.terms import explain
from deepdraw.runtime import LARGEST, read_bytes, read_text, read_yaml, write_text

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True)
class Image:
    """A PNG as the page embeds it; `width` and `height` in CSS pixels."""

    uri: str
    title: str
    description: str
    width: int
    height: int


@dataclass(frozen=True)
class Section:
    """A split: its drawings, the checkpoint that was scored, its most telling number, its metrics, its pictures."""

    anchor: str
    title: str
    recognition: Recognition
    checkpoint: str
    headline: Line
    groups: dict[str, list[Line]]
    images: list[Image]


def write_report(run: Path) -> Path:
    """Write `<run>/report.html` of what the run directory holds, and return its path.

    Read, where they are there: `config.yaml`, `summary.json`, `plots/*.png`, `evaluations/<split>.json` and
    `evaluations/<split>/*.png`. The test metrics of the summary stand in for those that no evaluation of the test
    split found. Raises ValueError where there is neither a summary nor an evaluation.
    """
    summary = read_summary(run)
    sections = list(_sections(run, summary))
    if not summary and not sections:
        raise ValueError(f"{run} holds neither summary.json nor evaluations/: give the directory of a run")
    config, fix = run / "config.yaml", "put the run's own back, or delete it"
    trained, written = (read_yaml(config, fix=fix), read_text(config, fix=fix)) if config.exists() else ({}, "")
    page = page_template().render(
        title="/".join(run.resolve().parts[-2:]),
        facts=facts(summary, trained),
        sections=sections,
        plots=embed(sorted((run / "plots").glob("*.png"))),
        config=written,
        versions=summary.get("versions", {}),
        terms=explain(_texts(sections)),
    )
    write_text(run / "report.html", page)
    return run / "report.html"


@cache
def page_template() -> Template:
    """The template of the page, read and compiled once. Raises ValueError, in one line, where jinja2 is not there."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ValueError(f"report.html cannot be written ({error}): pip install jinja2") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files("deepdraw.report").joinpath("page.jinja").read_text("utf-8"))


def embed(paths: Iterable[Path]) -> list[Image]:
    """PNGs with the title and description that they carry; others are called by their file's name.

    What is no whole PNG, as an evaluation of an older version may have left it when it was killed, is left out, and a
    line says so.
    """
    images = []
    for path in paths:
        try:
            images.append(_image(path))
        except NO_IMAGE as error:
            print(f"{path} is no whole PNG and is left out of the report ({error}): evaluate again, or delete it")
    return images


def _image(path: Path) -> Image:
    from PIL import Image as Pillow

    content = read_bytes(path, largest=LARGEST["image"])
    check_size(image_size(content) or (0, 0))
    with Pillow.open(io.BytesIO(content), formats=["PNG"]) as opened:
        text, size, (dpi, _) = opened.info, opened.size, opened.info.get("dpi", (96, 96))
        opened.verify()
    width, height = (round(96 * pixels / dpi) for pixels in size)
    uri = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    title = text.get("Title", path.stem.replace("_", " "))
    return Image(uri, str(title), str(text.get("Description", "")), width, height)


def _sections(run: Path, summary: Mapping[str, Any]) -> Iterator[Section]:
    for found in read_results(run, summary):
        files = (run / "evaluations" / found.split).glob("*.png")
        pictures = sorted(files, key=lambda path: (_place(path.stem, ORDER), path.stem))
        groups = {group: list(members) for group, members in groupby(found.lines, key=lambda line: line.group)}
        anchor, checkpoint = re.sub(r"\W+", "-", found.split), str(found.checkpoint or "")
        headline = _headline(found.lines)
        yield Section(anchor, found.split, found.recognition, checkpoint, headline, groups, embed(pictures))


def _texts(sections: Iterable[Section]) -> Iterator[str]:
    """All titles, values and intervals of the tables."""
    for section in sections:
        for line in chain.from_iterable(section.groups.values()):
            yield from (line.title, line.value, line.interval)


def _headline(found: list[Line]) -> Line:
    """The harmonic mean where there is one, as of seen and unseen classes; else the first metric; with most shots."""
    method = found[0].title.split()[0]
    several = [line for line in found if "-shot" in line.title and line.title.startswith(method)]
    means = [line for line in several or found if "harmonic mean" in line.title]
    return (means or several or found[:1])[-1]


def _place(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)
