"""The one small interface through which deepdraw sees every image encoder."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from deepdraw.models.backbones.text_tower import TextTower

RGB = tuple[float, float, float]
POOLINGS = ("cls", "mean", "cls+mean")


@dataclass(frozen=True, eq=False)
class LayerGroup:
    """Layers that are frozen, or given a learning rate, together: the embeddings, a block, the final norm.

    fresh: those of the modules that start from random weights beside pretrained ones.
    """

    name: str
    modules: list[nn.Module] = field(default_factory=list)
    parameters: list[nn.Parameter] = field(default_factory=list)
    fresh: list[nn.Module] = field(default_factory=list)

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters)

    @property
    def num_trainable(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters if parameter.requires_grad)

    @property
    def fresh_parameters(self) -> list[nn.Parameter]:
        return [parameter for module in self.fresh for parameter in module.parameters()]

    def without_fresh(self) -> "LayerGroup":
        """The group without its fresh modules."""
        fresh = set(self.fresh_parameters)
        modules = [module for module in self.modules if module not in self.fresh]
        return LayerGroup(self.name, modules, [parameter for parameter in self.parameters if parameter not in fresh])


class Backbone(nn.Module, ABC):
    """An encoder of drawings: normalized images [B, 3, H, W] to features [B, num_features].

    A subclass must define `name`, `num_features`, `image_size` and `forward`; all else has a default. Its constructor
    builds the architecture with random weights and reads nothing, so that impossible options are refused before any
    download; `load_pretrained` then loads the pretrained weights, if there are any.

    Attributes:
        name: the architecture, as its library calls it.
        num_features: D, the width of the features.
        image_size: height and width in pixels of the images that `forward` is made for; 0 if it sees none.
        sees: what `forward` takes: ("pixels",) the images; ("strokes",) points [B, K, 8] of `PointSampler`;
            ("pixels", "strokes") a pair of both.
        pretrained: whether `load_pretrained` brings weights, or the file that it reads.
        mean, std: the encoder's own normalization, per RGB channel of images in 0..1; by default to -1..1.
        poolings: which of `POOLINGS` it can do beside its own; none where it has no tokens.
        frozen: the layer groups that `freezing.freeze` froze; they stay in eval mode through `train()`.
    """

    name: str
    num_features: int
    image_size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    poolings: tuple[str, ...] = ()
    sees: tuple[str, ...] = ("pixels",)
    pretrained: bool | str = False

    def __init__(self) -> None:
        super().__init__()
        self.frozen: list[LayerGroup] = []

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Features [B, num_features] of normalized float images [B, 3, H, W]."""

    def tokens(self, images: Tensor) -> Tensor:
        """The last block's tokens [B, N, D]: class and register tokens, then the patches row by row.

        Vision transformers have them, convolutional networks do not. They are normed as the encoder norms
        them before its own pooling; D is the width of its blocks.

        Raises:
            ValueError: the encoder has no tokens.
        """
        raise ValueError(f"{self.name} has no tokens: use a vision transformer, such as backbone=dinov2")

    def load_pretrained(self) -> None:
        """Replace the random weights by the pretrained ones; by default there are none, and this does nothing.

        Raises:
            ValueError: the weights cannot be downloaded or read, or belong to another architecture.
        """

    def layer_groups(self) -> list[LayerGroup]:
        """The layers below block 0, each block in turn, and the layers above the last block (in a ResNet: none).

        Every parameter is in exactly one group. By default the whole encoder is block 0; `group_layers` makes the
        groups of an encoder by the names of its parameters.
        """
        whole = LayerGroup("block 0", list(self.children()), list(self.parameters()))
        return [LayerGroup("embeddings"), whole, LayerGroup("final layers")]

    def fresh_parameters(self) -> list[nn.Parameter]:
        """The parameters that start from random weights beside pretrained ones, and so get the rate of the head."""
        return [parameter for group in self.layer_groups() for parameter in group.fresh_parameters]

    def checkpoint_activations(self) -> None:
        """Keep no activations inside of blocks for the backward pass, but compute them again (arXiv 1604.06174).

        Raises:
            ValueError: the encoder does not say how, or cannot do so, or has BatchNorm layers.
        """
        raise ValueError(f"{self.name} cannot checkpoint: use train.activation_checkpointing=false")

    @property
    def feature_widths(self) -> tuple[int, ...]:
        """How many of the features come from each part of the backbone, in their order; their sum is `num_features`."""
        return (self.num_features,)

    @property
    def num_blocks(self) -> int:
        return len(self.layer_groups()) - 2

    @property
    def has_text(self) -> bool:
        """Whether `encode_text` can place prompts among the image features."""
        return False

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """Unit-length features [N, num_features] of N prompts, in the space of the image features."""
        raise self._without_text()

    def build_text_tower(self) -> TextTower:
        """The text tower with random weights, which is no part of the backbone.

        Raises:
            ValueError: there is none, or none whose features lie among those of images.
        """
        raise self._without_text()

    def load_text_tower(self, tower: TextTower) -> None:
        """Load the pretrained weights of the text tower, if the backbone starts from pretrained ones."""
        raise self._without_text()

    def _without_text(self) -> ValueError:
        return ValueError(f"{self.name} has no text tower to read prompts with: use backbone=clip")

    def train(self, mode: bool = True) -> "Backbone":
        """Train, but for the frozen groups: their norms, dropout and drop path stay in eval mode."""
        super().train(mode and any(parameter.requires_grad for parameter in self.parameters()))
        for group in self.frozen:
            for module in group.modules:
                module.eval()
        return self


def check_image_size(image_size: int, patch_size: int) -> None:
    """Raise ValueError, naming the nearest sizes that fit, unless patches of this size tile the image."""
    if image_size < patch_size or image_size % patch_size:
        below = image_size // patch_size * patch_size
        sizes = " or ".join(str(size) for size in (below, below + patch_size) if size > 0)
        raise ValueError(f"backbone.image_size={image_size} is no multiple of the {patch_size} px patch: use {sizes}")


def check_pooling(name: str, pooling: str | None, poolings: Sequence[str]) -> None:
    """Raise ValueError, naming those that it can do, unless `pooling` is None or one of `poolings`."""
    if pooling is not None and pooling not in poolings:
        choices = ", ".join(["null (its own)", *poolings])
        raise ValueError(f"backbone.pooling={pooling} is not for {name}: use {choices}")


def pool(tokens: Tensor, pooling: str, num_prefix_tokens: int, norm: Callable[[Tensor], Tensor]) -> Tensor:
    """One vector [B, D] for tokens [B, N, D], or two joined to [B, 2 D] for cls+mean.

    Args:
        pooling: one of `POOLINGS`: the class token, the mean of the patches' tokens, or both.
        num_prefix_tokens: class and register tokens, which come before those of the patches.
        norm: applied to each vector: the identity, but for encoders that norm after they pool.
    """
    vectors = {"cls": tokens[:, 0], "mean": tokens[:, num_prefix_tokens:].mean(dim=1)}
    return torch.cat([norm(vectors[name]) for name in pooling.split("+")], dim=1)


def checkpoint_blocks(network: Any, name: str) -> None:
    """Turn a network's own activation checkpointing on, as `Backbone.checkpoint_activations` does."""
    if any(isinstance(module, _BatchNorm) for module in network.modules()):
        raise ValueError(
            f"the BatchNorm layers of {name} would count each batch twice: use train.activation_checkpointing=false"
        )
    try:
        network.set_grad_checkpointing()
    except (AssertionError, AttributeError) as error:  # timm asserts that it stays off, or has no such method
        raise ValueError(f"{name} cannot checkpoint: use train.activation_checkpointing=false") from error


def channel_values(key: str, given: Sequence[float] | None, own: Sequence[float]) -> RGB:
    """The mean or std of the three channels of images in [0, 1] that a config gives, else those of the weights.

    Raises:
        ValueError: they are no three finite numbers, or a std is not above 0.
    """
    values = own if given is None else given
    if len(values) != 3 or not all(isfinite(value) and (key == "mean" or value > 0) for value in values):
        raise ValueError(f"backbone.{key}={list(values)} must be three numbers, such as [0.5,0.5,0.5]")
    red, green, blue = values
    return red, green, blue
