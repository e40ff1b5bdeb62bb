"""A model of ONNX cut behind the drawing of lines, so that the network alone can be run on what it sees, many times."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from deepdraw.export.inputs import Feed
from deepdraw.export.onnx_run import outputs_of


class Cut:
    """The part of a model behind some of its tensors, `network`, and what drawings are to it, `feeds`.

    model: whose outputs are kept in `network`, but for the tensors; tensors: names of what the network sees, none where
    the model takes just that; feeds: inputs of the model. What the network takes of the inputs themselves, such as
    their number, it still takes from there.
    """

    def __init__(self, model: Any, tensors: Sequence[str], feeds: Iterable[Feed]) -> None:
        import onnx

        self._model, self._tensors = model, tensors
        self.network = onnx.ModelProto()
        self.network.CopyFrom(model)
        self.feeds = list(feeds)
        if tensors:
            graph = self.network.graph
            outputs = [output for output in graph.output if output.name not in tensors]
            _set(graph.node, _needed(model, [output.name for output in outputs], tensors))
            _set(graph.output, outputs)
            self._take_tensors()

    def whole(self, network: Any, outputs: Collection[str]) -> Any:
        """A model like the one that was cut, with another network in the place of its own, and these of its outputs."""
        import onnx

        joined = onnx.ModelProto()
        joined.CopyFrom(network)
        graph, drawing = joined.graph, _needed(self._model, self._tensors, ())
        made = {name for node in drawing for name in node.output}
        stored = {one.name for one in graph.initializer}
        _set(graph.node, [*drawing, *(node for node in network.graph.node if not made & set(node.output))])
        taken = {name for node in drawing for name in node.input}
        missing = [one for one in self._model.graph.initializer if one.name in taken - stored]
        graph.initializer.extend(missing)
        _set(graph.input, self._model.graph.input)
        _set(graph.output, [output for output in self._model.graph.output if output.name in outputs])
        return joined

    def _take_tensors(self) -> None:
        """Let the network take the tensors as inputs, beside those of the model's that it uses, and draw them once."""
        from onnx import helper

        graph = self.network.graph
        taken = {name for node in graph.node for name in node.input}
        kept = [given for given in graph.input if given.name in taken]
        drawn = outputs_of(self._model, self.feeds, self._tensors)
        self.feeds = [
            dict(zip(self._tensors, found, strict=True)) | {given.name: feed[given.name] for given in kept}
            for found, feed in zip(drawn, self.feeds, strict=True)
        ]
        example = self.feeds[0]
        given = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(example[name].dtype), ["drawings", *example[name].shape[1:]]
            )
            for name in self._tensors
        ]
        _set(graph.input, [*given, *kept])
        drop_unused(graph)


def drop_unused(graph: Any) -> None:
    """Drop weights that no node takes any longer."""
    taken = {name for node in graph.node for name in node.input}
    _set(graph.initializer, [one for one in graph.initializer if one.name in taken])


def _needed(model: Any, outputs: Iterable[str], given: Collection[str]) -> list[Any]:
    """The nodes, in the order of the graph, by which a model makes `outputs` where it has the tensors `given`."""
    wanted, nodes = set(outputs), []
    for node in reversed(model.graph.node):
        if wanted & set(node.output) - set(given):
            nodes.append(node)
            wanted.update(node.input)
    return nodes[::-1]


def _set(field: Any, values: Iterable[Any]) -> None:
    """Replace the entries of a repeated field."""
    values = list(values)
    del field[:]
    field.extend(values)
