"""Weights and activations of a model of ONNX in 8 bits, with scales chosen by drawings (onnxruntime's static way)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

QUANTIZED = ["Conv", "MatMul", "Gemm"]  # where the weights are; what draws the lines has none of these
HEAD = "model.head: "  # in the namespace of what the head of a Classifier computes
Feed = dict[str, NDArray[Any]]  # what a model takes, by name


def write_int8(model: Any, place: Path, feeds: Iterator[Feed]) -> None:
    """Write a model of ONNX to `place` with the weights of its backbone in 8 bits, a scale for each channel.

    The head stays in fp32: its few weights decide between names whose logits are close to each other, and those of a
    linear probe are so large that 8 bits lose most of what it learned. feeds: inputs of the model, by whose activations
    the scales are chosen.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def get_next(self) -> Feed | None:
            return next(feeds, None)

    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it advises to run optimizations first that change nothing here
    try:
        quantize_static(
            model,
            str(place),
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED,
            nodes_to_exclude=_of_head(model),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.root.setLevel(level)


def _of_head(model: Any) -> list[str]:
    """The names of the nodes of the head."""
    return [
        node.name
        for node in model.graph.node
        if any(entry.key == "namespace" and HEAD in entry.value for entry in node.metadata_props)
    ]
