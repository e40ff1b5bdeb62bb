"""Freezing holds exactly what it says: in a vision transformer, a CLIP tower, a convolutional network."""

import copy
import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from deepdraw.models import freezing
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing import layer_rows, print_layers

Frozen = Callable[[str, str], Classifier]

# The names of each network's tensors, layer by layer: written down, not asked of the code under test.
LAYERS = {
    "vit": [
        r"network\.(cls_token|pos_embed|patch_embed)",
        *(rf"network\.blocks\.{i}\." for i in range(6)),
        r"network\.norm\.",
    ],
    "clip": [
        r"visual\.(conv1|class_embedding|positional_embedding|ln_pre)",
        *(rf"visual\.transformer\.resblocks\.{i}\." for i in range(6)),
        r"visual\.(ln_post|proj)",
    ],
    "convolutional": [
        r"network\.(conv_stem|bn1)\.",
        *(rf"network\.blocks\.{i}\." for i in range(5)),
        r"network\.(conv_head|bn2)\.",
    ],
}
# Option, and the layers that it freezes: 0 the embeddings, 1 block 0, ..., -1 what lies above the last block.
OPTIONS: dict[str, Callable[[int], set[int]]] = {
    "freeze=none": lambda num_blocks: set(),
    "freeze=all": lambda num_blocks: set(range(num_blocks + 2)),
    "freeze=first4": lambda num_blocks: {0, 1, 2, 3, 4},
    "freeze=first freeze.n=0": lambda num_blocks: {0},
    "freeze=blocks freeze.blocks=[0,2]": lambda num_blocks: {0, 1, 3},
    "freeze=blocks freeze.blocks=[1]": lambda num_blocks: {2},
    "freeze=last freeze.n=2": lambda num_blocks: set(range(num_blocks - 1)),
}


def parameters_in_the_graph(loss: Tensor) -> set[Tensor]:
    seen, stack, leaves = set(), [loss.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            stack += [below for below, _ in node.next_functions]
            leaves |= {node.variable} if hasattr(node, "variable") else set()
    return leaves


every_pair = pytest.mark.parametrize(
    ("network", "option"), [(network, option) for network in LAYERS for option in OPTIONS]
)


@every_pair
def test_after_three_steps_exactly_the_stated_tensors_changed(
    network: str, option: str, frozen_model: Frozen, changed_in_three_steps: Callable[[Classifier], set[str]]
):
    model = frozen_model(network, option)
    layers = LAYERS[network]
    frozen = [layers[i] for i in OPTIONS[option](len(layers) - 2)]
    expected = {key for key in model.state_dict() if not any(re.match(rf"backbone\.{layer}", key) for layer in frozen)}
    assert changed_in_three_steps(model) == expected  # BatchNorm's statistics are among them


@every_pair
def test_no_autograd_graph_exists_below_the_first_trained_layer(
    network: str, option: str, frozen_model: Frozen, loss_of_a_batch: Callable[[Classifier], Tensor]
):
    model = frozen_model(network, option)
    frozen = OPTIONS[option](len(LAYERS[network]) - 2)
    prefix = next(i for i in range(len(LAYERS[network]) + 1) if i not in frozen)
    outputs: list[Tensor] = []
    for group in model.backbone.layer_groups()[:prefix]:
        for module in group.modules:
            module.register_forward_hook(lambda module, inputs, output: outputs.append(output))

    loss = loss_of_a_batch(model.train())

    assert bool(outputs) == bool(prefix)
    assert not any(output.requires_grad for output in outputs)
    assert parameters_in_the_graph(loss) == {p for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize("network", LAYERS)
def test_frozen_modules_stay_in_eval_and_the_others_follow(network: str, frozen_model: Frozen):
    model = frozen_model(network, "freeze=first4")
    groups = model.backbone.layer_groups()
    for mode in (True, False, True):
        model.train(mode)
        assert not any(leaf.training for group in groups[:5] for m in group.modules for leaf in m.modules())
        assert all(leaf.training == mode for group in groups[5:] for m in group.modules for leaf in m.modules())
        assert model.head.training == mode


def test_a_wholly_frozen_backbone_is_deterministic_in_training(frozen_model: Frozen):
    model = frozen_model("vit", "freeze=all").train()
    images = torch.randint(0, 256, (4, 32, 32), dtype=torch.uint8)
    assert torch.equal(model.features(images), model.features(images))
    assert not model.backbone.training


def test_a_copy_keeps_what_is_frozen(frozen_model: Frozen):
    model = copy.deepcopy(frozen_model("convolutional", "freeze=first4")).train()
    assert not any(m.training for m in model.backbone.network.blocks[3].modules())
    assert all(m.training for m in model.backbone.network.blocks[4].modules())


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (
            partial(freezing.first, n=12),
            "first 12 blocks cannot be frozen, this backbone has 6: use freeze=all, or .* K <= 6",
        ),
        (partial(freezing.last, n=7), "use freeze=none, or freeze=last freeze.n=K with K <= 6"),
        (partial(freezing.blocks, blocks=[0, 6, -1]), r"\[-1, 6\] do not exist: .* has blocks 0 to 5"),
    ],
)
def test_blocks_that_the_network_lacks_are_refused(choose: Callable, message: str, frozen_model: Frozen):
    groups = frozen_model("vit", "freeze=none").backbone.layer_groups()
    with pytest.raises(ValueError, match=message) as refusal:
        choose(groups)
    assert "\n" not in str(refusal.value)


def test_the_table_of_what_trains_joins_neighbouring_blocks(frozen_model: Frozen, capsys: pytest.CaptureFixture[str]):
    model = frozen_model("vit", "freeze=first4")
    rows = layer_rows(model)
    assert [(row.name, row.num_trainable > 0) for row in rows] == [
        ("embeddings", False),
        ("blocks 0 to 3", False),
        ("blocks 4 to 5", True),
        ("final layers", True),
        ("head", True),
    ]
    assert sum(row.num_parameters for row in rows) == sum(p.numel() for p in model.parameters())
    assert sum(row.num_trainable for row in rows) == sum(p.numel() for p in model.parameters() if p.requires_grad)
    print_layers(model)
    assert "frozen" in capsys.readouterr().out
