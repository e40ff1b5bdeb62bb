"""Parameter-efficient policies: in every layer only norms, only biases, or only a low-rank change trains.

Like the functions of `policies`, these take the layer groups of a backbone and return the groups to freeze. Each group
holds the parameters that do not train and the modules that stay in eval mode. What starts from random weights beside
pretrained ones (`LayerGroup.fresh`) is in none of them: it trains.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from deepdraw.models.backbones import LayerGroup
from deepdraw.models.freezing.adapters import AdaptedGroup, matrices


def norms(groups: Sequence[LayerGroup]) -> list[LayerGroup]:
    """Everything except the scales and shifts of normalization layers. BatchNorm also updates its statistics.

    Raises:
        ValueError: the backbone has no normalization layers with scales or shifts.
    """
    trained = {
        parameter
        for module in _modules(groups)
        if "Norm" in type(module).__name__  # includes timm's own norms, which are named like torch's
        for parameter in module.parameters(recurse=False)
    }
    if not trained:
        raise ValueError("freeze=norms: this backbone has no normalization layers to train: use freeze=biases")
    return _all_but(trained, groups)


def biases(groups: Sequence[LayerGroup]) -> list[LayerGroup]:
    """Everything except the biases, including those of norms: BitFit (arXiv 2106.10199).

    Raises:
        ValueError: the backbone has no biases.
    """
    trained = {
        parameter
        for module in _modules(groups)
        for name, parameter in module.named_parameters(recurse=False)
        if name.endswith("bias")  # attention has in_proj_bias, q_bias, ...
    }
    if not trained:
        raise ValueError("freeze=biases: this backbone has no biases to train: use freeze=norms")
    return _all_but(trained, groups)


def lora(groups: Sequence[LayerGroup], rank: int, alpha: float) -> list[LayerGroup]:
    """The whole backbone, while linear layers and convolutions of its blocks learn a change of low `rank`.

    The change is scaled by `alpha / rank`.

    Raises:
        ValueError: the blocks have no linear layers and no ungrouped convolutions; or `rank` is below 1.
    """
    if rank < 1:
        raise ValueError(f"freeze.rank={rank} must be at least 1: use freeze=all to train no adapters")
    blocks = groups[1:-1]
    adapted = [
        AdaptedGroup(
            frozen.name,
            frozen.modules,
            frozen.parameters,
            weights=list(matrices(block.without_fresh())),
            rank=rank,
            alpha=alpha,
        )
        for frozen, block in zip(_all_but(set(), blocks), blocks, strict=True)
    ]
    if not any(group.weights for group in adapted):
        raise ValueError(
            "freeze=lora adapts linear layers and ungrouped convolutions, and the blocks of this backbone have none: "
            "use freeze=norms, or freeze=last freeze.n=K"
        )
    return [groups[0].without_fresh(), *adapted, groups[-1].without_fresh()]


def _modules(groups: Sequence[LayerGroup]) -> Iterator[nn.Module]:
    return (module for group in groups for root in group.modules for module in root.modules())


def _all_but(trained: AbstractSet[nn.Parameter], groups: Sequence[LayerGroup]) -> list[LayerGroup]:
    """Each group without the parameters that train.

    Dropout and drop path stay on, because the network learns. Only norms with batch statistics stay in eval mode,
    because their statistics would change although they are not trained.
    """
    return [
        LayerGroup(
            group.name,
            [m for m in _modules([group]) if isinstance(m, _NormBase) and m.weight not in trained],
            [parameter for parameter in group.parameters if parameter not in trained],
        )
        for group in (whole.without_fresh() for whole in groups)
    ]
