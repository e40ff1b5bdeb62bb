"""ONNX: one file with network, temperature and softmax, for onnxruntime and everything else that runs ONNX."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deepdraw.export.format import Format, Runner
from deepdraw.export.sample import Examples, Sample
from deepdraw.inference import Trained
from deepdraw.runtime import write_bytes

LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
LARGEST = 2**31 - 1  # bytes of a file of ONNX, which is one message of protobuf


class Onnx(Format):
    """One file of ONNX, from drawings to probabilities float32 [N, C].

    input: "image": `images`, uint8 [N, size, size] or [N, 3, size, size], as the rasterizer of the checkpoint draws
    them. Raises ValueError where the packages of the extra `export` are not installed.
    """

    suffix = ".onnx"
    library = "onnx"

    def __init__(self, input: Literal["image"] = "image") -> None:
        for library in LIBRARIES:
            try:
                importlib.import_module(library)
            except ImportError as error:
                raise ValueError(f"{library} is not installed: pip install 'deepdraw[export]'") from error
        self.input = input

    def check(self, trained: Trained, sample: Sample) -> None:
        if trained.sees != ("pixels",):
            raise ValueError(f"input={self.input} is for networks that see pixels alone, and this one sees strokes")

    def write(self, trained: Trained, place: Path, calibration: Sample) -> None:
        examples = next(iter(calibration)).one(0)
        graph = FromImages(trained).eval()
        program = torch.onnx.export(
            graph,
            tuple(torch.from_numpy(array) for array in self._feed(examples).values()),
            dynamo=True,
            dynamic_shapes={name: {0: "drawings"} for name in self._feed(examples)},
            input_names=list(self._feed(examples)),
            output_names=["probabilities"],
            verbose=False,
        )
        assert program is not None
        content = program.model_proto.SerializeToString()
        if len(content) > LARGEST:
            raise ValueError("the network is too large for one file of ONNX (2 GB): use precision=fp16")
        write_bytes(place, content)

    def usage(self, trained: Trained, name: str) -> str:
        return (
            "import numpy as np, onnxruntime\n"
            f"session = onnxruntime.InferenceSession({name!r})\n"
            f"images = np.full({(1, *trained.rasterizer.shape)}, 255, np.uint8)  # drawings as it sees them\n"
            '(probabilities,) = session.run(["probabilities"], {"images": images})'
        )

    def runner(self, trained: Trained, place: Path) -> Runner:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(place), providers=["CPUExecutionProvider"])

        def run(examples: Examples) -> NDArray[np.float32]:
            (probabilities,) = session.run(["probabilities"], self._feed(examples))
            return np.asarray(probabilities)

        return run

    def _feed(self, examples: Examples) -> dict[str, NDArray[Any]]:
        """What the graph takes of drawings, by name."""
        assert examples.images is not None
        return {"images": examples.images}


class FromImages(nn.Module):
    """Images uint8 [N, ...] to probabilities [N, C]."""

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.model, self.temperature = trained.model, trained.temperature or 1.0

    def forward(self, images: Tensor) -> Tensor:
        return torch.softmax(self.model(images) / self.temperature, dim=1)
