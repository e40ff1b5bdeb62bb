"""Weights rounded to 8 bits, with biases that make up for what that adds to the mean of each channel.

Rounding errs the same way for every drawing. Where drawings differ by little, as in the features of a network with
random weights or behind depthwise convolutions, that hides what they differ by. Source: Nagel et al., Data-Free
Quantization Through Weight Equalization and Bias Correction, 2019 (empirical bias correction).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepdraw.export.cutting import drop_unused
from deepdraw.export.inputs import Feed
from deepdraw.export.onnx_run import outputs_of

Numbers = NDArray[np.float32]


class Rounding:
    """What 8 bits make of the weights of a model of ONNX.

    model: in fp32; quantized: the same model by onnxruntime, whose nodes take 8-bit weights through DequantizeLinear;
    feeds: inputs of the model, which are run once. nodes: the names of the nodes with such weights, in the order of the
    graph; sizes: how many weights each has.
    """

    def __init__(self, model: Any, quantized: Any, feeds: list[Feed]) -> None:
        from onnx import numpy_helper

        self._model = model
        stored = {one.name: one for one in model.graph.initializer}
        rounded = _rounded_weights(quantized)
        weighted = {node.name: node for node in model.graph.node if node.name in rounded and node.input[1] in stored}
        self._weights = {name: rounded[name] for name in weighted}
        errors = {
            name: self._weights[name] - numpy_helper.to_array(stored[node.input[1]]) for name, node in weighted.items()
        }
        self._means = _mean_outputs(model, errors, feeds)
        self.nodes = list(weighted)
        self.sizes = {name: weights.size for name, weights in self._weights.items()}

    def applied(self, nodes: Collection[str], *, rounded: bool) -> Any:
        """A copy of the model whose biases make up for 8-bit weights of some nodes.

        rounded: whether it has these weights, too, as numbers of fp32.
        """
        import onnx
        from onnx import numpy_helper

        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        for name in nodes:
            (index,) = (number for number, node in enumerate(copy.graph.node) if node.name == name)
            if rounded:
                copy.graph.node[index].input[1] = f"{name}_rounded"
                copy.graph.initializer.append(numpy_helper.from_array(self._weights[name], f"{name}_rounded"))
            _take_off(copy.graph, index, self._means[name])
        drop_unused(copy.graph)
        return copy


def _mean_outputs(model: Any, weights: dict[str, Numbers], feeds: list[Feed]) -> dict[str, Numbers]:
    """The mean of each channel of the output that nodes would have with other weights and without a bias."""
    import onnx
    from onnx import helper, numpy_helper

    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    graph, added = probe.graph, numpy_helper.from_array
    for node in [node for node in model.graph.node if node.name in weights]:
        other = weights[node.name]
        given, made, axes, mean = (f"{node.name}_probe_{part}" for part in ("weights", "made", "axes", "mean"))
        operation = helper.make_node(node.op_type, [node.input[0], given], [made])
        operation.attribute.extend(node.attribute)
        reduced = helper.make_node("ReduceMean", [made, axes], [mean], keepdims=0)
        reduce_over = [0, *range(2, other.ndim)] if node.op_type == "Conv" else [0]
        graph.initializer.extend([added(other.astype(np.float32), given), added(np.array(reduce_over), axes)])
        graph.node.append(operation)
        if node.op_type == "MatMul":  # of any number of dimensions, the last of which are the channels
            reduced.input[0], shape = f"{made}_rows", f"{made}_shape"
            graph.initializer.append(added(np.array([-1, other.shape[1]]), shape))
            graph.node.append(helper.make_node("Reshape", [made, shape], [reduced.input[0]]))
        graph.node.append(reduced)
        graph.output.append(helper.make_tensor_value_info(mean, onnx.TensorProto.FLOAT, None))
    drawings = [len(next(iter(feed.values()))) for feed in feeds]
    outputs = list(outputs_of(probe, feeds, [f"{name}_probe_mean" for name in weights])) if weights else []
    return {
        name: np.average([found[place] for found in outputs], axis=0, weights=drawings).astype(np.float32)
        for place, name in enumerate(weights)
    }


def _rounded_weights(quantized: Any) -> dict[str, Numbers]:
    """The values of the 8-bit weights that nodes of a quantized model take as their second input, by their names."""
    from onnx import numpy_helper

    stored = {one.name: one for one in quantized.graph.initializer}
    made_by = {node.output[0]: node for node in quantized.graph.node if node.op_type == "DequantizeLinear"}
    rounded = {}
    for node in quantized.graph.node:
        source = made_by.get(node.input[1]) if len(node.input) > 1 else None
        if source is None or source.input[0] not in stored:
            continue
        levels, scale, zero = (numpy_helper.to_array(stored[name]).astype(np.float32) for name in source.input)
        if scale.ndim:  # one for each channel
            axis = next((entry.i for entry in source.attribute if entry.name == "axis"), 1)
            shape = [-1 if dimension == axis % levels.ndim else 1 for dimension in range(levels.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        rounded[node.name] = ((levels - zero) * scale).astype(np.float32)
    return rounded


def _take_off(graph: Any, index: int, mean: Numbers) -> None:
    """Take `mean`, a number for each channel, off the output of the node at an index."""
    from onnx import helper, numpy_helper

    node, name = graph.node[index], f"{graph.node[index].name}_corrected_bias"
    stored = {one.name: one for one in graph.initializer}
    if node.op_type == "MatMul":  # which has no bias
        uncorrected = f"{node.output[0]}_uncorrected"
        graph.initializer.append(numpy_helper.from_array(-mean, name))
        graph.node.insert(index + 1, helper.make_node("Add", [uncorrected, name], [node.output[0]], name=f"{name}_add"))
        node.output[0] = uncorrected
        return
    bias = numpy_helper.to_array(stored[node.input[2]]) if len(node.input) == 3 else np.zeros_like(mean)
    graph.initializer.append(numpy_helper.from_array((bias - mean).astype(np.float32), name))
    if len(node.input) == 3:
        node.input[2] = name  # of its own: two nodes may share one
    else:
        node.input.append(name)
