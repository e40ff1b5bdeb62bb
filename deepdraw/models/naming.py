"""Classifiers that are made of the names of classes alone, by the text tower of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from deepdraw.models.classifier import Classifier
from deepdraw.models.heads import cosine_logits
from deepdraw.models.learned_prompts import Prompts
from deepdraw.models.prompts import text_classifier


def reads_names(model: Classifier) -> bool:
    """Whether a network has a text tower, of its own or in its head."""
    return model.backbone.has_text or isinstance(model.head, Prompts)


def classifier_of_names(
    model: Classifier, class_names: Sequence[str], prompts: str | Sequence[str] = "ensemble"
) -> Callable[[Tensor], Tensor]:
    """Features [B, D] to logits [B, C] of classes of these names.

    prompts: as for `text_classifier`; a head of learned prompts reads with its own context instead. Raises ValueError
    where the network has no text tower.
    """
    if isinstance(model.head, Prompts):
        return model.head.classifier(class_names)
    weights = text_classifier(model.backbone.encode_text, class_names, prompts)
    return lambda features: cosine_logits(features, weights, scale=100.0)  # the limit that CLIP's authors set
