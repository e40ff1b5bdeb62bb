"""Freezing holds exactly what it says: in a vision transformer, a CLIP tower, a convolutional network."""

import copy
import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing import policies as freezing
from deepdraw.models.freezing.policies import layer_rows, print_layers, thaw, will_train

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
            "freeze.n=12 is not for this backbone of 6 blocks: use freeze=all, or .* K <= 6",
        ),
        (partial(freezing.last, n=7), "use freeze=none, or freeze=last freeze.n=K with K <= 6"),
        (partial(freezing.blocks, blocks=[0, 6, -1]), r"\[-1, 6\] do not exist: .* has blocks 0 to 5"),
        (
            partial(freezing.gradual, probe_epochs=-1, blocks_per_epoch=1, epochs=5),
            "probe_epochs=-1 must be at least 0: use 1",
        ),
        (
            partial(freezing.gradual, probe_epochs=0, blocks_per_epoch=None, epochs=5),
            "nothing: use freeze.probe_epochs=1 or more",
        ),
        (
            partial(freezing.gradual, probe_epochs=0, blocks_per_epoch=6, epochs=5),
            "would freeze nothing: .* or freeze=none",
        ),
        (
            partial(freezing.gradual, probe_epochs=1, blocks_per_epoch=0, epochs=5),
            "per_epoch=0 never thaws: use 1 or more, or null",
        ),
        (
            partial(freezing.gradual, probe_epochs=5, blocks_per_epoch=1, epochs=5),
            "probe_epochs=5 of train.epochs=5 never thaw the backbone: .* or use freeze=all",
        ),
    ],
)
def test_numbers_that_the_network_cannot_follow_are_refused(choose: Callable, message: str, frozen_model: Frozen):
    groups = frozen_model("vit", "freeze=none").backbone.layer_groups()
    with pytest.raises(ValueError, match=message) as refusal:
        choose(groups)
    assert "\n" not in str(refusal.value)


def test_the_table_of_what_trains_joins_neighboring_blocks(frozen_model: Frozen, capsys: pytest.CaptureFixture[str]):
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


# Options of freeze=gradual, and the epochs from which the layers of `LAYERS` train, blocks counted from the top.
GRADUAL: dict[str, Callable[[int], int]] = {
    "freeze.probe_epochs=1 freeze.blocks_per_epoch=1": lambda below_top: 1 + below_top,
    "freeze.probe_epochs=0 freeze.blocks_per_epoch=2": lambda below_top: below_top // 2,
    "freeze.probe_epochs=2 freeze.blocks_per_epoch=4": lambda below_top: 2 + below_top // 4,
    "freeze.probe_epochs=3 freeze.blocks_per_epoch=null": lambda below_top: 3,  # LP-FT
}


def first_epochs(network: str, options: str) -> dict[str, int]:
    """The epoch from which each layer trains: the topmost with the last block, the embeddings with block 0."""
    embeddings, *blocks, final = LAYERS[network]
    epochs = {block: GRADUAL[options](below_top) for below_top, block in enumerate(reversed(blocks))}
    return {embeddings: epochs[blocks[0]], **epochs, final: epochs[blocks[-1]]}


@pytest.mark.parametrize("options", GRADUAL)
@pytest.mark.parametrize("network", LAYERS)
def test_in_each_epoch_exactly_the_layers_train_that_are_due(
    network: str, options: str, frozen_model: Frozen, changed_in_three_steps: Callable[[Classifier], set[str]]
):
    model = frozen_model(network, f"freeze=gradual {options}")
    due = first_epochs(network, options)
    for epoch in range(max(due.values()) + 1):
        thaw(model, epoch)
        still = [layer for layer, first in due.items() if first > epoch]
        expected = {
            key for key in model.state_dict() if not any(re.match(rf"backbone\.{layer}", key) for layer in still)
        }
        assert changed_in_three_steps(model) == expected  # BatchNorm's statistics are among them
    assert expected == set(model.state_dict())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("network", LAYERS)
def test_a_resumed_run_thaws_what_was_due_before(network: str, frozen_model: Frozen):
    stopped, resumed = (frozen_model(network, "freeze=gradual freeze.blocks_per_epoch=2") for _ in range(2))
    for epoch in range(3):
        thaw(stopped, epoch)
    for _ in range(2):  # once is as good as twice
        thaw(resumed, 2)
        for mode in (True, False):
            pairs = zip(stopped.train(mode).modules(), resumed.train(mode).modules(), strict=True)
            assert all(one.training == other.training for one, other in pairs)
        pairs = zip(stopped.parameters(), resumed.parameters(), strict=True)
        assert all(one.requires_grad == other.requires_grad for one, other in pairs)


@pytest.mark.parametrize("network", LAYERS)
def test_thawing_leaves_alone_what_is_frozen_for_good(network: str, frozen_model: Frozen):
    model = frozen_model(network, "freeze=first4")
    trained = {parameter for parameter in model.parameters() if parameter.requires_grad}
    thaw(model, epoch=100)
    assert will_train(model) == trained == {parameter for parameter in model.parameters() if parameter.requires_grad}
    assert len(model.backbone.frozen) == 5


def test_an_optimizer_takes_what_will_thaw_and_keeps_no_state_for_it_before(
    frozen_model: Frozen, loss_of_a_batch: Callable[[Classifier], Tensor]
):
    model = frozen_model("convolutional", "freeze=gradual").train()
    before = copy.deepcopy(model.backbone.state_dict())
    assert will_train(model) == set(model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    loss_of_a_batch(model).backward()
    optimizer.step()
    assert set(optimizer.state) == set(model.head.parameters())
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.backbone.state_dict().items())


def test_the_table_says_from_which_epoch_layers_train(frozen_model: Frozen, capsys: pytest.CaptureFixture[str]):
    model = frozen_model("vit", "freeze=gradual freeze.probe_epochs=2 freeze.blocks_per_epoch=3")
    thaw(model, epoch=2)
    rows = {row.name: row.trains for row in layer_rows(model)}
    assert list(rows) == ["embeddings", "blocks 0 to 2", "blocks 3 to 5", "final layers", "head"]
    assert rows["embeddings"] == rows["blocks 0 to 2"] == "from epoch 4"  # epochs are displayed from 1
    trained = (p for block in model.backbone.network.blocks[3:] for p in block.parameters())
    assert rows["blocks 3 to 5"] == f"{sum(p.numel() for p in trained):,}"
    print_layers(model)
    assert "from epoch 4" in capsys.readouterr().out
