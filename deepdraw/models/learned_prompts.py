"""A head of learned prompts (CoOp, Zhou et al., 2022, arXiv 2109.01134)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deepdraw.models.backbones import Backbone, TextTower
from deepdraw.models.heads import cosine_logits
from deepdraw.models.prompts import fill

LENGTH = 16  # vectors of a context, as in the paper
SPREAD = 0.02  # standard deviation of random vectors at first, that of CLIP's own embeddings at its start


class Prompts(nn.Module):
    """Cosines with the text features of "[V]1 ... [V]M CLASS.", whose vectors are learned and shared by all classes.

    Features [B, D] to logits [B, num_classes]. The text tower is frozen. It is a part of the head and of a checkpoint,
    so that the context reads the names of other classes, too. In training it runs at each step, over all classes.

    Args:
        build_text_tower: of the backbone, `Backbone.build_text_tower`.
        length: M; None for 16, or for the number of tokens of `init`.
        init: the words whose embeddings the vectors start from, such as "a sketch of a"; None for random ones.

    Raises:
        ValueError: the backbone has no such tower, `length` is not that of `init`, or the vectors do not fit into it.
    """

    tokens: Tensor  # int64 [num_classes, L]

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        build_text_tower: Callable[[], TextTower],
        length: int | None = None,
        init: str | None = None,
    ) -> None:
        super().__init__()
        self.tower = build_text_tower()
        self._init = None if init is None else self.tower.phrase_tokens(init)
        self.length = _length(self.tower.context_length, length, init, self._init)
        self.context = nn.Parameter(SPREAD * torch.randn(self.length, self.tower.width))
        self.register_buffer("tokens", torch.zeros(num_classes, self.tower.context_length, dtype=torch.int64))
        self._kept: tuple[Tensor, Tensor] | None = None  # a context, and the text features that it gave
        self.register_load_state_dict_post_hook(Prompts._forget)

    @torch.no_grad()
    def read(self, class_names: Sequence[str], backbone: Backbone) -> None:
        """Take the backbone's text tower, the names of the classes, and the vectors of `init`.

        Raises:
            ValueError: the weights of the tower cannot be read, or a name is too long.
        """
        backbone.load_text_tower(self.tower)
        self.tokens.copy_(self._tokens(class_names))
        if self._init is not None:
            self.context.copy_(self.tower.embed(self._init))
        self._kept = None

    def forward(self, features: Tensor) -> Tensor:
        return cosine_logits(features, self._class_features(), self.tower.scale)

    def classifier(self, class_names: Sequence[str]) -> Callable[[Tensor], Tensor]:
        """Features [B, D] to logits [B, C] of any C classes, read with the learned context."""
        with torch.no_grad():
            text = F.normalize(self.tower(self._tokens(class_names).to(self.context.device), self.context).float())
        return lambda features: cosine_logits(features, text, self.tower.scale)

    def _tokens(self, class_names: Sequence[str]) -> Tensor:
        return self.tower.tokens([fill("{}.", name) for name in class_names], learned=self.length)

    def _class_features(self) -> Tensor:
        """Text features [num_classes, D]; without gradients they are computed once for a context."""
        if torch.is_grad_enabled():
            return self.tower(self.tokens, self.context)
        if self._kept is None or not torch.equal(self._kept[0], self.context):
            self._kept = self.context.detach().clone(), self.tower(self.tokens, self.context)
        return self._kept[1]

    def _forget(self, *_: Any) -> None:
        self._kept = None


def _length(context_length: int, length: int | None, init: str | None, tokens: Tensor | None) -> int:
    """The number of learned vectors."""
    own = LENGTH if tokens is None else len(tokens)
    if tokens is not None and (own == 0 or length not in (None, own)):
        raise ValueError(f"head.init={init!r} has {own} tokens: leave head.length={length} out, or use another phrase")
    number = own if length is None else length
    if not 1 <= number <= context_length - 3:  # a start, an end and a name of a token at least
        raise ValueError(f"head.length={number} must lie in 1 to {context_length - 3} for this text tower")
    return number
