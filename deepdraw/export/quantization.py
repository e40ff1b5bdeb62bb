"""Weights and activations of a model of ONNX in 8 bits, with scales chosen by drawings (onnxruntime's static way)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deepdraw.export.cutting import Cut
from deepdraw.export.inputs import Feed
from deepdraw.export.rounding import Rounding
from deepdraw.export.sensitivity import MOVED, activations, probability_moved, sensitive, with_activations
from deepdraw.runtime import write_bytes

WEIGHTED = ("Conv", "MatMul", "Gemm")  # where the weights are
CLIPPING = ("Relu", "Clip")  # behind a convolution they are one operation with it, whose output alone has 8 bits
HEAD = "model.head: "  # in the namespace of what the head of a Classifier computes


def write_int8(
    model: Any, place: Path, feeds: Iterable[Feed], seen: Sequence[str] = (), *, with_seen: bool = True
) -> None:
    """Write a model of ONNX to `place` with the weights of its backbone in 8 bits, a scale for each channel.

    Activations are in 8 bits as well, but for those by which the probabilities would change too much. What rounding the
    weights adds to the mean of each channel is taken off its bias. The head stays in fp32: its few weights decide
    between names whose logits are close to each other, and those of a linear probe are so large that 8 bits lose most
    of what it learned.

    feeds: inputs of the model, by whose activations scales, biases and what stays in fp32 are chosen; they and what the
    network sees of them are held in memory, what it makes of them never is. seen: the outputs that are what the network
    sees, before which nothing is quantized; none where the inputs are that. with_seen: whether the file has them.
    """
    cut = Cut(model, seen, feeds)
    outputs = [output.name for output in model.graph.output if with_seen or output.name not in seen]
    small = cut.whole(_in_8_bits(cut.network, place, cut.feeds), outputs)
    write_bytes(place, small.SerializeToString())


def _in_8_bits(model: Any, place: Path, drawings: list[Feed]) -> Any:
    """The model as `write_int8` writes it; onnxruntime uses `place` for its files."""
    names = _of_backbone(model)
    moved = probability_moved(model, drawings)
    moved_of_few = probability_moved(model, drawings[: -(-len(drawings) // 4)])
    with _without_advice():
        few = [{name: array[:1] for name, array in drawings[0].items()}]
        rounding = Rounding(model, _quantized(model, names, place, few), drawings)
        sizes = np.array([rounding.sizes[name] for name in rounding.nodes], np.float64)
        of_weights = partial(rounding.applied, rounded=True)
        exact = sensitive(rounding.nodes, of_weights, moved, moved_of_few, MOVED / 2, sizes)
        corrected = rounding.applied([name for name in rounding.nodes if name not in exact], rounded=False)
        full = _quantized(corrected, [name for name in names if name not in exact], place, drawings)
    inner = activations(full)
    exact_inner = sensitive(inner, partial(with_activations, full), moved, moved_of_few, MOVED, np.ones(len(inner)))
    place.unlink()
    return with_activations(full, set(inner) - exact_inner)


def _quantized(model: Any, nodes: list[str], place: Path, feeds: list[Feed]) -> Any:
    """The model quantized at some nodes by onnxruntime, which writes it to `place`."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = iter(feeds)

        def get_next(self) -> Feed | None:
            return next(self._feeds, None)

    given = onnx.ModelProto()
    given.CopyFrom(model)  # which is changed by it
    quantize_static(
        given,
        str(place),
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=[*WEIGHTED, *CLIPPING],
        nodes_to_quantize=nodes,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={
            "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"],
            "QDQKeepRemovableActivations": True,  # so that an activation can stay in fp32
        },
    )
    return onnx.load(str(place))


def _of_backbone(model: Any) -> list[str]:
    """The names of the nodes that are quantized: those with weights but in the head, and what clips their outputs."""
    weighted = [
        node
        for node in model.graph.node
        if node.op_type in WEIGHTED
        and not any(entry.key == "namespace" and HEAD in entry.value for entry in node.metadata_props)
    ]
    outputs = {node.output[0] for node in weighted if node.op_type == "Conv"}
    clipping = [node for node in model.graph.node if node.op_type in CLIPPING and node.input[0] in outputs]
    return [node.name for node in [*weighted, *clipping]]


@contextmanager
def _without_advice() -> Iterator[None]:
    """Leave out what onnxruntime says, which advises to run optimizations first that change nothing here."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
