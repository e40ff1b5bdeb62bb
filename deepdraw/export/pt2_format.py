"""A program of torch.export, which torch alone loads and runs."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deepdraw.export.format import Format, Runner
from deepdraw.export.graphs import FromImages, FromStrokes
from deepdraw.export.inputs import Input, check_input, dynamic_shapes, feeds
from deepdraw.export.metadata import facts
from deepdraw.export.sample import Examples, Sample
from deepdraw.inference import Trained
from deepdraw.runtime import write_bytes

FACTS = "deepdraw.json"  # the extra file in a program


class Pt2(Format):
    """One file that `torch.export.load` reads, without deepdraw, from drawings to probabilities [N, C].

    input: what it takes, as of `Onnx`: "strokes": `points`, float32 [N, P, 2], and `strokes`, int32 [N, P], for any N
    and P; "image": `images`, uint8 [N, size, size] or [N, 3, size, size]. Its extra file deepdraw.json has the names of
    the classes, in their order.
    """

    suffix = ".pt2"
    library = "pytorch"

    def __init__(self, input: Input = "strokes") -> None:
        self.input = input

    def check(self, trained: Trained, sample: Sample) -> None:
        check_input(self.input, trained, sample)

    def write(self, trained: Trained, place: Path, calibration: Sample) -> None:
        graph = FromStrokes(trained) if self.input == "strokes" else FromImages(trained)
        feed = next(feeds(self.input, next(iter(calibration)), trained))
        shapes = dynamic_shapes(feed, torch.export.Dim("drawings"), torch.export.Dim("points"))
        inputs = tuple(torch.from_numpy(array[[0, -1]]) for array in feed.values())  # one is taken for a fixed number
        program = torch.export.export(graph.eval(), inputs, dynamic_shapes=shapes)
        buffer = io.BytesIO()
        extra = {FACTS: json.dumps(facts(trained) | {"input": self.input})}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "No complete tensor")  # some are parts of a larger one, on the CPU
            torch.export.save(program, buffer, extra_files=extra)
        write_bytes(place, buffer.getvalue())

    def runner(self, trained: Trained, place: Path) -> Runner:
        program = torch.export.load(place).module()

        @torch.inference_mode()
        def run(examples: Examples) -> NDArray[np.float32]:
            parts = feeds(self.input, examples, trained)
            return np.concatenate([program(*map(torch.from_numpy, feed.values())).numpy() for feed in parts])

        return run

    def usage(self, trained: Trained, name: str) -> str:
        image = f"torch.full({(1, *trained.rasterizer.shape)}, 255, dtype=torch.uint8)  # drawings as it sees them"
        strokes = (
            "torch.tensor([[[0.0, 0.0], [90.0, 0.0], [90.0, 90.0]]])  # x and y, y downwards\n"
            "strokes = torch.tensor([[0, 0, 0]], dtype=torch.int32)  # the number of the stroke of each point"
        )
        taken = {"image": ("images", image), "strokes": ("points", strokes)}
        given, made = taken[self.input]
        return (
            "import json, torch\n"
            f'program = torch.export.load({name!r}, extra_files=(files := {{"{FACTS}": ""}})).module()\n'
            f"{given} = {made}\n"
            f"probabilities = program({given if self.input == 'image' else 'points, strokes'})\n"
            f'print(json.loads(files["{FACTS}"])["classes"][probabilities.argmax()])'
        )
