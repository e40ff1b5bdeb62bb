"""A program of torch.export, which torch alone loads and runs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepdraw.export.format import Format, Runner
from deepdraw.export.graphs import FromInputs
from deepdraw.export.metadata import facts
from deepdraw.export.sample import Examples, Sample
from deepdraw.inference import Trained
from deepdraw.runtime import write_bytes

FACTS = "deepdraw.json"  # the extra file in a program


class Pt2(Format):
    """One file that `torch.export.load` reads, without deepdraw, from what the network sees to probabilities [N, C].

    It takes images uint8 [N, size, size] or [N, 3, size, size], points float32 [N, K, 8] of `PointSampler`, or both,
    of any number N of drawings. Its extra file deepdraw.json has the names of the classes, in their order.
    """

    suffix = ".pt2"
    library = "pytorch"

    def write(self, trained: Trained, place: Path, calibration: Sample) -> None:
        inputs = tuple(torch.cat([one[:1], one[:1]]) for one in _inputs(next(iter(calibration))))
        drawings = torch.export.Dim("drawings")
        shapes = (tuple({0: drawings} for _ in inputs),)  # of the inputs, which the graph takes as a list
        program = torch.export.export(FromInputs(trained).eval(), inputs, dynamic_shapes=shapes)
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={FACTS: json.dumps(facts(trained))})
        write_bytes(place, buffer.getvalue())

    def runner(self, trained: Trained, place: Path) -> Runner:
        program = torch.export.load(place).module()

        @torch.inference_mode()
        def run(examples: Examples) -> NDArray[np.float32]:
            found: Tensor = program(*_inputs(examples))
            return found.numpy()

        return run

    def usage(self, trained: Trained, name: str) -> str:
        shape = (1, *trained.rasterizer.shape)
        made = {
            "pixels": f"torch.full({shape}, 255, dtype=torch.uint8)",
            "strokes": f"torch.zeros(1, {trained.config.input.points}, 8)",
        }
        return (
            "import json, torch\n"
            f'program = torch.export.load({name!r}, extra_files=(files := {{"{FACTS}": ""}})).module()\n'
            f"probabilities = program({', '.join(made[one] for one in trained.sees)})  # drawings as it sees them\n"
            f'print(json.loads(files["{FACTS}"])["classes"][probabilities.argmax()])'
        )


def _inputs(examples: Examples) -> tuple[Tensor, ...]:
    """What the network sees of drawings: images, points, or both in this order."""
    return examples.inputs if isinstance(examples.inputs, tuple) else (examples.inputs,)
