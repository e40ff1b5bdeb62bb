"""Splits a network into layer groups: by the names of its parameters, and by the order in which it uses them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from torch import nn

from deepdraw.models.backbones.base import LayerGroup

Matcher = dict[str, Any] | Callable[[str], Any]

BLOCK_OF_STAGE = re.compile(r"\w+\.(\d+)\.(?:blocks\.)?(\d+)(?=\.)")  # stages.2.blocks.5.norm, or stages.2.5.norm


def group_layers(
    network: nn.Module, matcher: Matcher, first: str = "embeddings", in_order: Sequence[str] = ()
) -> list[LayerGroup]:
    """Split a network into layer groups, as `Backbone.layer_groups` returns them.

    Args:
        matcher: the layers as timm describes them, {"stem": pattern, "blocks": pattern that captures numbers}
            or a function of a parameter's name. What it does not match comes last. Where it takes a stage of several
            blocks for one, each block is a group.
        first: name of the first group.
        in_order: names of the parameters, and of modules without any, in the order of their first use, as
            `check_features` returns them. What `matcher` does not match, and a module without parameters, such as a
            dropout, joins the block that runs when it is first used.
    """
    from timm.models._manipulate import group_with_matcher

    named_parameters = dict(network.named_parameters())
    unmatched = ""  # no parameter has this name: its index is that of whatever no pattern matches
    indices = group_with_matcher(((name, None) for name in [*named_parameters, unmatched]), matcher, reverse=True)
    last = indices.pop(unmatched)
    uses = {name: position for position, name in enumerate(in_order)}
    indices = _move_early(_split_stages(network, indices, uses, last), uses, last)
    numbers = {key: number for number, key in enumerate(sorted({(0,), (last,), *indices.values()}))}
    index_of = {parameter: numbers[indices[name]] for name, parameter in named_parameters.items()}
    num_blocks = len(numbers) - 2
    groups = [LayerGroup(name) for name in (first, *(f"block {i}" for i in range(num_blocks)), "final layers")]
    for parameter, index in index_of.items():
        groups[index].parameters.append(parameter)
    _place_modules(network, index_of, groups, _running_groups(network, index_of, in_order), before=0)
    return groups


def _split_stages(
    network: nn.Module, indices: dict[str, int], uses: dict[str, int], last: int
) -> dict[str, tuple[int, ...]]:
    """The index of each parameter's group; where that holds several blocks of stages, followed by stage and block."""
    blocks = {name: block for name in indices if (block := _block_of_stage(network, name))}
    keys: dict[str, tuple[int, ...]] = {name: (index,) for name, index in indices.items()}
    for index in set(indices.values()) - {0, last}:
        members = [name for name in indices if indices[name] == index]
        of_group = sorted({blocks[name] for name in members if name in blocks})
        if len(of_group) < 2:
            continue
        # A layer between two blocks, such as one that shrinks the image, belongs to the block that is used after it.
        starts = {block: min(_use(uses, name) for name in members if blocks.get(name) == block) for block in of_group}
        for name in members:
            later = [block for block in of_group if starts[block] >= _use(uses, name)]
            keys[name] = (index, *(blocks.get(name) or (later or of_group[-1:])[0]))
    return keys


def _block_of_stage(network: nn.Module, name: str) -> tuple[int, int] | None:
    found = BLOCK_OF_STAGE.match(name)
    module = network.get_submodule(found[0]) if found else network
    if not found or isinstance(module, nn.Sequential | nn.ModuleList) or not any(True for _ in module.children()):
        return None  # a branch or a single layer, no block
    return int(found[1]), int(found[2])


def _move_early(keys: dict[str, tuple[int, ...]], uses: dict[str, int], last: int) -> dict[str, tuple[int, ...]]:
    """Move unmatched parameters that are used before the last block's to the group that runs at that time.

    Otherwise they would train below frozen blocks: register tokens, or a table of positions that all blocks share.
    """
    used = {name: key for name, key in keys.items() if name in uses}
    blocks = {key for key in used.values() if key not in ((0,), (last,))}
    starts = sorted((min(uses[name] for name in used if used[name] == key), key) for key in blocks)
    end = max((uses[name] for name in used if used[name] in blocks), default=-1)
    times = [start for start, _ in starts]
    moved = dict(keys)
    for name, key in used.items():
        if key == (last,) and uses[name] < end:
            running = bisect_right(times, uses[name]) - 1
            moved[name] = starts[running][1] if running >= 0 else (0,)
    return moved


def _use(uses: dict[str, int], name: str) -> float:
    return uses.get(name, inf)


def _running_groups(
    network: nn.Module, index_of: dict[nn.Parameter, int], in_order: Sequence[str]
) -> dict[nn.Module, int]:
    """The last group that has begun to run when each module without parameters is first used."""
    parameters, modules = dict(network.named_parameters()), dict(network.named_modules())
    running, found = 0, {}
    for name in in_order:
        if name in parameters:
            running = max(running, index_of[parameters[name]])
        elif name in modules:
            found[modules[name]] = running
    return found


def _place_modules(
    module: nn.Module,
    index_of: dict[nn.Parameter, int],
    groups: list[LayerGroup],
    running: dict[nn.Module, int],
    before: int,
) -> int:
    """Give each subtree to the group of its parameters; one without any to that which runs, or else to `before`."""
    found = {index_of[parameter] for parameter in module.parameters()}
    if len(found) > 1:
        for child in module.children():
            before = _place_modules(child, index_of, groups, running, before)
        return before
    index = found.pop() if found else running.get(module, before)
    if any(module is placed for placed in groups[index].modules):  # shared with an earlier layer
        return before
    groups[index].modules.append(module)
    return index
