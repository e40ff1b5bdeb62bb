"""Weights between the pretrained and the fine-tuned ones (WiSE-FT, Wortsman et al., 2021, arXiv 2109.01903)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from deepdraw.models.classifier import Classifier
from deepdraw.models.heads import Text


def check_pretrained(pretrained: bool | str) -> None:
    """Raise ValueError unless training started from pretrained weights."""
    if not pretrained:
        raise ValueError(
            "interpolate needs pretrained weights, and this checkpoint was trained from scratch: "
            "leave it out, or train with backbone.pretrained=true or =FILE"
        )


def pretrained_weights(model: Classifier, class_names: Sequence[str]) -> dict[str, Tensor]:
    """Load the weights that training started from into `model`, and return those with floating-point numbers.

    They are the weights of the backbone and of a text head, which starts from the class names as CLIP's zero-shot
    classifier. Any other head started from random weights, and so did some layers beside pretrained ones; they are left
    out.

    Raises:
        ValueError: the weights cannot be downloaded or read, or belong to another architecture.
    """
    model.load_pretrained(class_names)
    random = {module for group in model.backbone.layer_groups() for module in group.fresh}
    prefixes = tuple(f"{name}." for name, module in model.named_modules() if module in random)
    return {
        name: tensor.clone()
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
        and (isinstance(model.head, Text) or name.startswith("backbone."))
        and not name.startswith(prefixes)
    }


@torch.no_grad()
def interpolate(
    model: Classifier, pretrained: Mapping[str, Tensor], trained: Mapping[str, Tensor], alpha: float
) -> None:
    """Give the model `(1 - alpha) * pretrained + alpha * trained`: alpha 1 is fine-tuned, 0 pretrained.

    Tensors that are missing in `pretrained` are taken from `trained` at every alpha: counts, such as BatchNorm's number
    of batches, what started from random weights, and any head except a text head.

    Args:
        pretrained: as `pretrained_weights` returns it.
        trained: a whole state dict of the model.
    """
    for name, tensor in model.state_dict().items():
        tensor.copy_(trained[name])
        if name in pretrained:
            tensor.lerp_(pretrained[name], 1 - alpha)  # exact at both ends, and where the two are equal
