"""What of a quantized model has to stay in fp32, so that its probabilities hardly change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepdraw.export.cutting import drop_unused
from deepdraw.export.inputs import Feed
from deepdraw.export.onnx_run import probabilities_of

MOVED = 0.03  # of all probability, which may go to other names than in fp32: the mean of the drawings
PARTS = 12  # consecutive tensors are tried together, in so many parts at most

Moved = Callable[[Any], float]  # the share of all probability that a model gives to other names than the one in fp32


def probability_moved(model: Any, feeds: list[Feed]) -> Moved:
    """The share of probability that another model than `model` gives to other names, the mean of all drawings."""
    expected = probabilities_of(model, feeds)
    return lambda other: float(np.abs(probabilities_of(other, feeds) - expected).sum(axis=1).mean() / 2)


def sensitive(
    names: Sequence[str],
    quantized: Callable[[set[str]], Any],
    moved: Moved,
    moved_of_few: Moved,
    limit: float,
    costs: NDArray[np.float64],
) -> set[str]:
    """Which tensors stay in fp32, so that a model moves no more probability than `limit`; all where none else does.

    They are chosen in parts, those first that move most for their cost when they alone have 8 bits.

    names: of the tensors, in the order of the graph; quantized: makes the model in which a set of them has 8 bits;
    moved_of_few: by fewer drawings, by which the parts are ordered; costs: of each to stay in fp32, above 0. `moved` is
    called 5 times at most, the other `PARTS` times.
    """
    everything = set(names)
    if not names or moved(quantized(everything)) <= limit:
        return set()
    parts = [part for part in np.array_split(np.arange(len(names)), PARTS) if len(part)]
    alone = [moved_of_few(quantized({names[place] for place in part})) / costs[part].sum() for part in parts]
    ranked = [parts[number] for number in np.argsort(alone)[::-1]]
    order = [names[place] for part in ranked for place in part]
    ends = np.cumsum([len(part) for part in ranked])
    low, high = 0, len(parts) - 1  # the number of the last part that stays in fp32
    while low < high:
        middle = (low + high) // 2
        if moved(quantized(everything - set(order[: ends[middle]]))) <= limit:
            high = middle
        else:
            low = middle + 1
    return set(order[: ends[low]])


def activations(quantized: Any) -> list[str]:
    """The names of the activations that a model has in 8 bits, in the order of the graph."""
    stored = {one.name for one in quantized.graph.initializer}
    nodes = [node for node in quantized.graph.node if node.op_type == "QuantizeLinear"]
    return [node.input[0] for node in nodes if node.input[0] not in stored]


def with_activations(quantized: Any, names: set[str]) -> Any:
    """A copy of a quantized model in which no activations but `names` are in 8 bits."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(quantized)
    free, nodes = set(activations(quantized)) - names, copy.graph.node
    levels = {node.output[0]: node.input[0] for node in nodes if node.op_type == "QuantizeLinear"}
    levels = {level: name for level, name in levels.items() if name in free}
    back = {node.output[0]: levels[node.input[0]] for node in nodes if node.input and node.input[0] in levels}
    kept = [node for node in nodes if node.output[0] not in levels and node.output[0] not in back]
    for node in kept:
        node.input[:] = [back.get(name, name) for name in node.input]
    del nodes[:]
    nodes.extend(kept)
    drop_unused(copy.graph)
    return copy
