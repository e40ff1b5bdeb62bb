"""8 bits for weights and activations: biases make up for rounding, and what matters most stays in fp32."""

from __future__ import annotations

import numpy as np
import pytest

from deepdraw.export.sensitivity import sensitive

onnx = pytest.importorskip("onnx", reason="the extra export is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra export is not installed")

from deepdraw.export.quantization import write_int8  # noqa: E402
from deepdraw.export.rounding import Rounding  # noqa: E402

NAMES, LEVELS = 6, onnx.TensorProto.INT8


def network(*, outlier: float = 1.0):
    """Convolutions, one of them depthwise, and a projection, of random weights; images [N, 1, 16, 16] to probabilities.

    outlier: by how much one channel behind the first convolution is larger than the others, which the second undoes.
    """
    random, make = np.random.default_rng(3), onnx.helper.make_node
    first, depthwise = random.normal(size=(8, 1, 3, 3)), random.normal(size=(8, 1, 3, 3))
    first[0], depthwise[0] = first[0] * outlier, depthwise[0] / outlier
    arrays = {
        "first": first,
        "depthwise": depthwise,
        "bias": random.normal(size=8),
        "pointwise": random.normal(size=(12, 8, 1, 1)) / 8,
        "projection": random.normal(size=(12, NAMES)) / 4,
    }
    weights = [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
    nodes = [
        make("Conv", ["images", "first"], ["a"], name="one"),
        make("Relu", ["a"], ["b"], name="relu"),
        make("Conv", ["b", "depthwise", "bias"], ["c"], name="two", group=8),
        make("Relu", ["c"], ["d"], name="relu_2"),
        make("Conv", ["d", "pointwise"], ["e"], name="three"),
        make("GlobalAveragePool", ["e"], ["f"], name="pool"),
        make("Flatten", ["f"], ["g"], name="flatten"),
        make("MatMul", ["g", "projection"], ["h"], name="four"),
        make("Softmax", ["h"], ["probabilities"], name="softmax", axis=1),
    ]
    one = onnx.TensorProto.FLOAT
    given = onnx.helper.make_tensor_value_info("images", one, ["N", 1, 16, 16])
    made = onnx.helper.make_tensor_value_info("probabilities", one, ["N", NAMES])
    graph = onnx.helper.make_graph(nodes, "network", [given], [made], weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)


def images(seed: int, number: int = 40):
    return [{"images": np.random.default_rng(seed).random((number // 2, 1, 16, 16), np.float32)} for _ in range(2)]


def run(model, feeds, output="probabilities"):
    model.graph.output.extend([onnx.helper.make_empty_tensor_value_info(output)] if output != "probabilities" else [])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.concatenate([session.run([output], feed)[0] for feed in feeds])


def in_8_bits(model):
    return {
        one.name.removesuffix("_quantized") for one in model.graph.initializer if one.data_type == LEVELS and one.dims
    }


def activations(model):
    stored = {one.name for one in model.graph.initializer}
    return [
        node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in stored
    ]


def test_weights_have_8_bits_and_the_probabilities_stay(tmp_path):
    model, file = network(), tmp_path / "small.onnx"
    write_int8(model, file, iter(images(0)))
    small = onnx.load(file)
    assert "projection" in in_8_bits(small)
    assert activations(small)
    assert np.abs(run(small, images(1)) - run(model, images(1))).sum(axis=1).mean() / 2 < 0.03


def drawn():
    """The network behind what draws its images from `points`, of which it also uses the number of drawings."""
    model, make, one = network(), onnx.helper.make_node, onnx.TensorProto.FLOAT
    nodes = [*model.graph.node]
    nodes[-1].input[0] = "i"
    drawing = [make("Abs", ["points"], ["images"], name="draw"), make("Shape", ["points"], ["n"], name="shape", end=1)]
    bias = [make("ConstantOfShape", ["n"], ["zeros"], name="zeros"), make("Unsqueeze", ["zeros", "axis"], ["column"])]
    del model.graph.node[:]
    model.graph.node.extend([*drawing, *nodes[:-1], *bias, make("Add", ["h", "column"], ["i"], name="add"), nodes[-1]])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "axis"))
    model.graph.input[0].name = "points"
    model.graph.output.append(onnx.helper.make_tensor_value_info("images", one, ["N", 1, 16, 16]))
    return model


@pytest.mark.parametrize("with_seen", [True, False])
def test_images_are_drawn_once_and_as_before(tmp_path, with_seen):
    file, plain = tmp_path / "small.onnx", tmp_path / "plain.onnx"
    write_int8(network(), plain, iter(images(0)))
    write_int8(drawn(), file, [{"points": -feed["images"]} for feed in images(0)], ["images"], with_seen=with_seen)
    small = onnx.load(file)
    assert [output.name for output in small.graph.output] == ["probabilities", *["images"] * with_seen]
    assert in_8_bits(small) == in_8_bits(onnx.load(plain))
    points = [{"points": -feed["images"]} for feed in images(1)]
    np.testing.assert_array_equal(run(small, points), run(onnx.load(plain), images(1)))


def test_activations_that_8_bits_would_spoil_stay_in_fp32(tmp_path):
    model, file = network(outlier=3000.0), tmp_path / "small.onnx"
    write_int8(model, file, iter(images(0)))
    assert "b" not in activations(onnx.load(file))
    assert np.abs(run(onnx.load(file), images(1)) - run(model, images(1))).sum(axis=1).mean() / 2 < 0.03


@pytest.mark.parametrize(("node", "output"), [("one", "a"), ("two", "c"), ("three", "e"), ("four", "h")])
def test_biases_make_up_for_what_rounding_adds_to_the_mean_of_each_channel(node, output):
    model, quantized = network(), network()
    for one in [*quantized.graph.initializer]:  # weights in steps of a tenth, as QuantizeLinear stores them
        if one.name == "bias":
            continue
        steps = np.round(onnx.numpy_helper.to_array(one) / 0.1).astype(np.int8)
        parts = {"levels": steps, "scale": np.array(0.1, np.float32), "zero": np.array(0, np.int8)}
        names = [f"{one.name}_{part}" for part in parts]
        quantized.graph.initializer.extend(
            onnx.numpy_helper.from_array(array, name) for array, name in zip(parts.values(), names, strict=True)
        )
        quantized.graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", names, [one.name]))
        quantized.graph.initializer.remove(one)
    rounding = Rounding(model, quantized, images(0))
    axes = (0, 2, 3) if node != "four" else 0
    expected = run(network(), images(0), output).mean(axis=axes)
    np.testing.assert_allclose(
        run(rounding.applied([node], rounded=True), images(0), output).mean(axis=axes), expected, atol=1e-5
    )
    assert rounding.nodes == ["one", "two", "three", "four"]
    assert rounding.sizes["one"] == 72


def test_tensors_stay_in_fp32_that_move_most_for_what_they_cost():
    moves = {"a": 0.01, "b": 0.2, "c": 0.0, "d": 0.1}
    tried = []

    def moved(names):
        tried.append(names)
        return sum(moves[name] for name in names)

    def chosen(limit, costs):
        return sensitive(list(moves), lambda names: names, moved, moved, limit, np.array(costs, float))

    assert chosen(0.5, [1, 1, 1, 1]) == set()
    assert len(tried) == 1
    assert chosen(0.15, [1, 1, 1, 1]) == {"b"}
    assert chosen(0.05, [1, 1, 1, 1]) == {"b", "d"}
    assert chosen(0.25, [1, 100, 1, 1]) == {"d"}
    assert chosen(-1, [1, 1, 1, 1]) == set(moves)
    assert sensitive([], lambda names: names, moved, moved, 0.0, np.array([])) == set()
