"""Models of ONNX that are run on drawings while they are quantized."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deepdraw.export.inputs import Feed

PROBABILITIES = "probabilities"  # the first output of every model


def outputs_of(model: Any, feeds: Iterable[Feed], names: Sequence[str]) -> Iterable[list[NDArray[Any]]]:
    """The outputs `names` of a model, for one feed after the other."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; it warns of shapes that it has merged
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for feed in feeds:
        yield session.run(list(names), feed)


def probabilities_of(model: Any, feeds: Iterable[Feed]) -> NDArray[np.float32]:
    """The probabilities [N, C] that a model gives the drawings of all feeds."""
    return np.concatenate([found for (found,) in outputs_of(model, feeds, [PROBABILITIES])])
