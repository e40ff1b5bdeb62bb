"""ONNX: one file with network, temperature and softmax, for onnxruntime and everything else that runs ONNX."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deepdraw.export.format import Format, Runner
from deepdraw.export.graphs import FromImages, FromStrokes
from deepdraw.export.inputs import Feed, Input, check_input, dynamic_shapes, feeds
from deepdraw.export.metadata import facts, texts
from deepdraw.export.quantization import write_int8
from deepdraw.export.sample import Examples, Sample
from deepdraw.inference import Trained
from deepdraw.runtime import write_bytes

LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
LARGEST = 2**31 - 1  # bytes of a file of ONNX, which is one message of protobuf
SEEN = {"pixels": "seen_images", "strokes": "seen_points"}  # outputs


class Onnx(Format):
    """One file of ONNX, from drawings to `probabilities`, float32 [N, C].

    input: what it takes. "strokes": `points`, float32 [N, P, 2], x and y of any unit, y downwards, and `strokes`, int32
    [N, P], the number of the stroke of each point, ascending, -1 behind the last point of a drawing that has fewer than
    P. "image": `images`, uint8 [N, size, size] or [N, 3, size, size], as the rasterizer of the checkpoint draws them.
    precision: of the weights; the lines are always drawn in fp32. "int8" quantizes them with drawings of val.
    with_seen: whether a file that takes strokes also gives what the network sees, `seen_images`, `seen_points` or both;
    with_features: whether it gives `features`, float32 [N, D], of the backbone.
    Raises ValueError where the packages of the extra `export` are not installed.
    """

    suffix = ".onnx"
    library = "onnx"

    def __init__(
        self,
        input: Input = "strokes",
        precision: Literal["fp32", "fp16", "int8"] = "fp32",
        *,
        with_seen: bool = False,
        with_features: bool = False,
    ) -> None:
        for library in LIBRARIES:
            try:
                importlib.import_module(library)
            except ImportError as error:
                raise ValueError(f"{library} is not installed: pip install 'deepdraw[export]'") from error
        self.input, self.precision = input, precision
        self.with_seen, self.with_features = with_seen, with_features

    def check(self, trained: Trained, sample: Sample) -> None:
        check_input(self.input, trained, sample)

    def write(self, trained: Trained, place: Path, calibration: Sample) -> None:
        strokes_in, half, int8 = self.input == "strokes", self.precision == "fp16", self.precision == "int8"
        graph: nn.Module = FromImages(trained, half)
        seen, features = [], []
        if strokes_in:
            graph = FromStrokes(trained, half, with_seen=self.with_seen or int8, with_features=self.with_features)
            seen = [SEEN[kind] for kind in trained.sees] if self.with_seen or int8 else []
            features = ["features"] if self.with_features else []
        feed = next(feeds(self.input, next(iter(calibration)), trained))
        model = _traced(graph.eval(), feed, ["probabilities", *seen, *features])
        own = {"input": self.input, "precision": self.precision, "license": self.license}
        for key, value in texts(facts(trained) | own).items():
            model.metadata_props.add(key=key, value=value)
        if model.ByteSize() > LARGEST:
            raise ValueError(
                "the network is too large for one file of ONNX, which may have 2 GB: choose another format"
            )
        if int8:
            drawings = (feed for examples in calibration for feed in feeds(self.input, examples, trained))
            write_int8(model, place, drawings, seen, with_seen=self.with_seen)
        else:
            write_bytes(place, model.SerializeToString())

    def usage(self, trained: Trained, name: str) -> str:
        image = f"images = np.full({(1, *trained.rasterizer.shape)}, 255, np.uint8)  # drawings as it sees them"
        strokes = (
            "points = np.array([[[0, 0], [90, 0], [90, 90]]], np.float32)  # x and y, y downwards\n"
            "strokes = np.array([[0, 0, 0]], np.int32)  # the number of the stroke of each point"
        )
        feed = '"images": images' if self.input == "image" else '"points": points, "strokes": strokes'
        return (
            "import json, numpy as np, onnxruntime\n"
            f"session = onnxruntime.InferenceSession({name!r})\n"
            f"{image if self.input == 'image' else strokes}\n"
            f'(probabilities,) = session.run(["probabilities"], {{{feed}}})\n'
            'print(json.loads(session.get_modelmeta().custom_metadata_map["classes"])[probabilities[0].argmax()])'
        )

    def runner(self, trained: Trained, place: Path) -> Runner:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])

        def run(examples: Examples) -> NDArray[np.float32]:
            parts = feeds(self.input, examples, trained)
            return np.concatenate([session.run(["probabilities"], feed)[0] for feed in parts])

        return run


def _traced(graph: nn.Module, feed: Feed, outputs: list[str]) -> Any:
    """The model of ONNX that a graph is for inputs such as these, of any number of drawings and points."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "# The axis name")  # two inputs have the same number of drawings and points
        program = torch.onnx.export(
            graph,
            tuple(torch.from_numpy(array[:2]) for array in feed.values()),
            dynamo=True,
            dynamic_shapes=dynamic_shapes(feed, "drawings", "points"),
            input_names=list(feed),
            output_names=outputs,
            verbose=False,
        )
    assert program is not None
    return program.model_proto
