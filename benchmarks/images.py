"""Drawings that come in as images, drawn by other means: how many a network trained on strokes recognizes."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rich.progress import Progress
from rich.table import Column, Table

import benchmarks as bench
from deepdraw.data import Shards
from deepdraw.drawings import Drawings, Images, Rasterizer, fit_to_square
from deepdraw.inference import Recognizer, rebuild
from deepdraw.runtime import keep_freed_memory

BATCH = 64
SMOOTH = 4  # times larger an image is drawn that is then shrunk


@dataclass
class Options(bench.Options):
    """What the benchmark accepts."""

    ckpt: str = field(default="", metadata={"help": "a best.pt that was trained on strokes"})
    root: str = field(default="", metadata={"help": "its shards; their split test is drawn"})
    num_drawings: int = field(default=1000, metadata={"help": "drawings of the split test, in stored order"})
    seed: int = field(default=0, metadata={"help": "of the place of each drawing, the light and the noise"})

    def __post_init__(self) -> None:
        if not self.ckpt or not self.root:
            raise ValueError("a network and drawings are needed: give ckpt=RUN and root=SHARDS")
        if self.num_drawings < 1:
            raise ValueError(f"num_drawings={self.num_drawings} measures nothing: give at least 1")


@dataclass(frozen=True)
class Way:
    """How a drawing becomes an image of `side` pixels, gray uint8.

    width: of the lines, pixels; fill: share of the side that the drawing takes; ink, paper: levels of 255; light: share
    by which the light fades over the paper; noise: standard deviation; blur: pixels; jpeg: quality.
    """

    side: int = 300
    width: int = 3
    fill: float = 0.7
    smooth: bool = True
    ink: tuple[int, int, int] = (0, 0, 0)
    paper: int = 255
    light: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    jpeg: int | None = None

    def draw(self, strokes: list[NDArray[Any]], rng: np.random.Generator) -> NDArray[np.uint8]:
        scale = SMOOTH if self.smooth else 1
        points = np.concatenate(strokes).astype(float)
        low, high = points.min(axis=0), points.max(axis=0)
        zoom = self.fill * self.side / max(1.0, (high - low).max())
        free = np.maximum(self.side - (high - low) * zoom - self.width, self.width)
        place = rng.uniform(self.width, free)
        canvas = Image.new("RGB", (self.side * scale,) * 2, (self.paper,) * 3)
        pen = ImageDraw.Draw(canvas)
        for stroke in strokes:
            self._line(pen, ((stroke - low) * zoom + place) * scale, self.width * scale)
        pixels = np.asarray(canvas.resize((self.side, self.side), Image.Resampling.LANCZOS)).astype(np.float32)
        return self._photographed(pixels, rng)

    def _line(self, pen: ImageDraw.ImageDraw, points: NDArray[np.float64], width: int) -> None:
        if np.ptp(points, axis=0).max() < 1:
            x, y = points[0]
            pen.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], fill=self.ink)
        else:
            pen.line([tuple(point) for point in points], self.ink, width, joint="curve" if self.smooth else None)

    def _photographed(self, pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
        if self.blur:
            pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), self.blur), np.float32)
        if self.light:
            y, x = np.mgrid[-1 : 1 : self.side * 1j, -1 : 1 : self.side * 1j]
            slope = rng.uniform(-1, 1, 2)
            fading = slope[0] * x + slope[1] * y
            fading = 0.6 * (fading - fading.min()) / np.ptp(fading) + 0.2 * (x * x + y * y)
            pixels = pixels * (1 - self.light * fading[..., None])
        if self.noise:
            pixels = pixels + rng.normal(0, self.noise, pixels.shape[:2])[..., None]
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        if self.jpeg is not None:
            file = io.BytesIO()
            image.save(file, "JPEG", quality=self.jpeg)
            image = Image.open(file)
        return np.asarray(image.convert("L"))


WAYS = {
    "2 px": Way(width=2, smooth=False),
    "3 px": Way(width=3, smooth=False),
    "4 px": Way(width=4, smooth=False),
    "6 px": Way(width=6, smooth=False),
    "2 px, antialiased": Way(width=2),
    "4 px, antialiased": Way(width=4),
    "6 px, antialiased": Way(width=6),
    "a third of the frame, 2 px": Way(width=2, fill=0.35),
    "1,500 px wide, 6 px": Way(side=1500, width=6, smooth=False),
    "JPEG of quality 30": Way(width=4, jpeg=30),
    "gray pencil": Way(width=3, ink=(120, 120, 120), paper=245),
    "blue pen": Way(width=3, ink=(60, 60, 230)),
    "photo": Way(width=4, ink=(60, 60, 60), paper=225, light=0.4, noise=8, blur=1, jpeg=75),
    "light on dark": Way(width=3, ink=(240, 240, 240), paper=30),
}


def first_drawings(root: str, number: int) -> Drawings:
    """So many drawings of the split test, or all if there are fewer."""
    blocks, count = [], 0
    for block in Shards(root).split("test"):
        blocks.append(block)
        count += len(block)
        if count >= number:
            break
    return Drawings.concatenate(blocks).take(np.arange(min(number, count)))


def run(options: Options) -> dict[str, Any]:
    """Top-1 of the drawings as strokes, and of each way with images=canvas and images=drawing.

    Returns `num_drawings`; `size` and `line_width` of the network's images; `strokes`, the top-1 in 0..1; and `ways`,
    of each the top-1 and the milliseconds for an image on one core, decoded already, by `images`.
    """
    keep_freed_memory()
    recognizer = Recognizer(rebuild(options.ckpt))
    drawn = recognizer.trained.rasterizer
    drawings = first_drawings(options.root, options.num_drawings)
    figures: dict[str, Any] = {"num_drawings": len(drawings), "size": drawn.size, "line_width": drawn.line_width}
    figures["strokes"] = top1(recognizer, drawn(drawings), drawings.labels)
    figures["ways"] = {}
    strokes = [drawings.strokes(index) for index in range(len(drawings))]
    with Progress() as progress:
        for name, way in progress.track(WAYS.items(), description="ways of drawing"):
            rng = np.random.default_rng(options.seed)
            images = [way.draw(one, rng) for one in strokes]
            figures["ways"][name] = {
                mode: measured(recognizer, with_images(drawn, mode), images, drawings.labels)
                for mode in ("canvas", "drawing")
            }
    return figures


def with_images(rasterizer: Rasterizer, images: Images) -> Rasterizer:
    return Rasterizer(rasterizer.size, rasterizer.line_width, rasterizer.margin, rasterizer.polarity, images)


def measured(
    recognizer: Recognizer, rasterizer: Rasterizer, images: list[NDArray[np.uint8]], labels: NDArray[np.uint16]
) -> dict[str, float]:
    fit_to_square(images[0], rasterizer)  # compiles and imports
    start = time.process_time()
    fitted = np.stack([fit_to_square(image, rasterizer) for image in images])
    milliseconds = 1000 * (time.process_time() - start) / len(images)
    return {"top1": top1(recognizer, fitted, labels), "milliseconds": milliseconds}


@torch.inference_mode()
def top1(recognizer: Recognizer, images: NDArray[np.uint8], labels: NDArray[np.uint16]) -> float:
    """The share of images [N, size, size] whose likeliest class is that of its label."""
    trained = recognizer.trained
    guesses = []
    for batch in torch.from_numpy(images).split(BATCH):
        with trained.precision.autocast():
            guesses.append(trained.model(batch.to(trained.precision.device)).argmax(dim=1).cpu().numpy())
    return float((np.concatenate(guesses) == labels).mean())


def table(options: Options, figures: dict[str, Any]) -> Table:
    """A row for each way of drawing: top-1 with images=canvas and images=drawing, against strokes."""
    title = (
        f"{figures['num_drawings']:,} drawings of the split test, seed {options.seed}; the network sees "
        f"{figures['size']} px and lines of {figures['line_width']:g} px\n"
        f"as strokes: {100 * figures['strokes']:.1f} % top-1"
    )
    headings = ("images=canvas", "images=drawing", "to strokes", "ms, canvas", "ms, drawing")
    columns = [Column("drawn as"), *(Column(heading, justify="right") for heading in headings)]
    rows = Table(*columns, title=title, title_justify="left")
    for name, way in figures["ways"].items():
        canvas, drawing = way["canvas"], way["drawing"]
        rows.add_row(
            name,
            f"{100 * canvas['top1']:.1f}",
            f"{100 * drawing['top1']:.1f}",
            f"{100 * (drawing['top1'] - figures['strokes']):+.1f}",
            f"{canvas['milliseconds']:.1f}",
            f"{drawing['milliseconds']:.1f}",
        )
    return rows
