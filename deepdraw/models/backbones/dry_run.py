"""Runs a network on the meta device: what it makes of a blank image, and in which order it uses its layers.

That takes no memory for weights or activations, no random number, and a few hundred milliseconds for a ViT-L.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from textwrap import shorten
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deepdraw.models.backbones.base import Backbone

Network = TypeVar("Network", bound=nn.Module)

STEP = 32  # pixels: sizes that are tried where one does not fit are multiples of it, as most networks shrink by 32
LARGEST_TRIED = 1024
CANNOT_RUN = "cannot run"


def check_features(backbone: Backbone, options: Mapping[str, Any], *, own_size: int | None = None) -> list[str]:
    """Run a backbone, as its constructor has just built it, on a blank image of its `image_size`.

    Args:
        options: those of the architecture that the message names where no size helps.
        own_size: pixels that the architecture is made for, which are tried too.

    Returns:
        The names of its parameters, and of its modules without any (dropout, pooling), in the order of their first
        use; those that are not used are left out.

    Raises:
        ValueError: the backbone does not make features [1, num_features] of it. The message names the nearest sizes
            that it takes, or the options.
    """
    copied = on_meta(backbone)
    order = _Order(copied)
    with order:
        fault = _fault(copied, backbone.image_size)
    if fault is None:
        return order.names
    given = "".join(f" backbone.options.{key}={value}" for key, value in options.items())
    sizes = _sizes(copied, backbone.image_size, own_size) if fault.startswith(CANNOT_RUN) else []
    if not sizes:
        fix = f"leave out{given}" if given else "choose another backbone.name"
        raise ValueError(f"{backbone.name}{' with' if given else ''}{given} {fault}: {fix}")
    nearest = " or ".join(map(str, sizes))
    raise ValueError(
        f"{backbone.name} does not take images of {backbone.image_size} px ({fault}): use backbone.image_size={nearest}"
    )


def on_meta(network: Network) -> Network:
    """A copy of the network in eval mode whose parameters and buffers have shapes but no values."""
    tensors: dict[int, Any] = {id(each): each.detach().to("meta") for each in network.buffers()}
    for parameter in network.parameters():
        tensors[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
    return copy.deepcopy(network, tensors).eval()


def _fault(backbone: Backbone, image_size: int) -> str | None:
    """What is wrong with the features of a blank image; None if nothing is."""
    try:
        with torch.no_grad():
            features = backbone(torch.zeros(1, 3, image_size, image_size, device="meta"))
    except Exception as error:  # each architecture raises what it likes
        return _reason(error)
    if not isinstance(features, Tensor):
        return f"gives a {type(features).__name__} of feature maps and no vector of features"
    if features.shape != (1, backbone.num_features):
        return f"gives features of shape {list(features.shape)} for [1, {backbone.num_features}]"
    return None


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{CANNOT_RUN}: {shorten(lines[0].rstrip('.:'), 100) if lines else type(error).__name__}"


def _sizes(backbone: Backbone, image_size: int, own_size: int | None) -> list[int]:
    """The nearest sizes below and above `image_size` that the backbone takes, in pixels."""
    tried = set(range(STEP, LARGEST_TRIED + 1, STEP)) | ({own_size} if own_size else set())
    below = sorted((size for size in tried if size < image_size), reverse=True)
    above = sorted(size for size in tried if size > image_size)
    found = [next((size for size in sizes[:6] if _fault(backbone, size) is None), None) for sizes in (below, above)]
    if own_size and not any(found) and _fault(backbone, own_size) is None:
        return [own_size]
    return [size for size in found if size is not None]


class _Order(TorchFunctionMode):
    """Writes down the names of parameters, as functions of torch first take them, and of modules without any."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.names: list[str] = []
        self._unused = {id(parameter): name for name, parameter in network.named_parameters()}
        for name, module in network.named_modules():
            if not any(True for _ in module.parameters()):
                self._unused[id(module)] = name
                module.register_forward_pre_hook(lambda module, _: self._note([module]))

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if getattr(function, "__name__", "") != "__get__":  # reading a shape or a dtype uses no weight
            self._note([*args, *(kwargs or {}).values()])
        return function(*args, **(kwargs or {}))

    def _note(self, values: Any) -> None:
        for value in values:
            if isinstance(value, nn.Parameter | nn.Module) and (name := self._unused.pop(id(value), None)):
                self.names.append(name)
            elif isinstance(value, list | tuple):
                self._note(value)
