"""The text tower of an open_clip model, which also reads prompts whose first words are vectors."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

LEARNED = -1  # stands among tokens where a vector of a learned context belongs
PLACEHOLDER = "X"  # a word of one token in every tokenizer
ANY_TOKEN = 3  # in place of LEARNED where the tower looks for the end and the padding: it is neither


class TextTower(nn.Module):
    """A text tower of transformer blocks, frozen, and its tokenizer.

    Args:
        model: an open_clip model without its image tower.
        tokenize: N prompts to tokens int64 [N, L].
    """

    def __init__(self, model: nn.Module, tokenize: Callable[[list[str]], Tensor]) -> None:
        super().__init__()
        self.model: Any = model.requires_grad_(False)
        self._tokenize = tokenize
        for buffer in self.model.buffers():  # masks; an average of infinite weights would be no number
            if buffer.is_floating_point():
                buffer.clamp_(min=torch.finfo(buffer.dtype).min)

    @property
    def _text(self) -> Any:
        """The module with the token embedding: a part of the model, or the model itself, as open_clip builds it."""
        return getattr(self.model, "text", self.model)

    @property
    def context_length(self) -> int:
        """How many tokens a prompt may have, with those of its start and end."""
        return int(self._text.context_length)

    @property
    def width(self) -> int:
        """The width of a token's embedding."""
        return int(self._text.token_embedding.embedding_dim)

    @property
    def scale(self) -> Tensor:
        """One over the temperature of its cosines, which was learned with the towers."""
        scale: Tensor = self.model.logit_scale.exp()
        return scale

    def tokens(self, prompts: Sequence[str], learned: int = 0) -> Tensor:
        """Tokens int64 [N, L] on the CPU; `learned` times LEARNED comes before the words of each prompt.

        Raises:
            ValueError: a prompt is too long for the tower.
        """
        texts = [" ".join([PLACEHOLDER] * learned + [prompt]) for prompt in prompts]
        start = self._first_difference("", PLACEHOLDER)
        with torch.device("cpu"):
            tokens = self._tokenize(texts)
            shorter = self._tokenize([text[:-1] for text in texts])
        for prompt, cut in zip(prompts, (tokens == shorter).all(dim=1).tolist(), strict=True):
            if cut:  # the end is missing, where its last character makes no difference
                raise ValueError(
                    f"{learned} learned vectors before {prompt[:80]!r} are more than the {self.context_length} tokens "
                    "that the text tower reads: set a smaller head.length"
                )
        tokens[:, start : start + learned] = LEARNED
        return tokens

    def phrase_tokens(self, phrase: str) -> Tensor:
        """The tokens int64 [K] of the words of a phrase, without those of start and end, on the CPU."""
        start = self._first_difference("", PLACEHOLDER)
        end = self._first_difference(phrase, f"{phrase} {PLACEHOLDER}")
        with torch.device("cpu"):
            return self._tokenize([phrase])[0, start:end]

    def embed(self, tokens: Tensor) -> Tensor:
        """The embeddings [K, width] of tokens [K]."""
        embedding: nn.Embedding = self._text.token_embedding
        return embedding(tokens.to(embedding.weight.device)).detach()

    def _first_difference(self, first: str, second: str) -> int:
        """At which token two prompts differ first; L where they do not."""
        with torch.device("cpu"):
            one, other = self._tokenize([first, second])
        return next((place for place, same in enumerate((one == other).tolist()) if not same), len(one))

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Features [N, D], not normalized, of tokens [N, L], with `context` [M, width] where LEARNED stands."""
        if context is None:
            features: Tensor = self.model.encode_text(tokens)
            return features
        learned = (tokens == LEARNED)[:, :, None]

        def with_context(module: nn.Module, inputs: Any, embedded: Tensor) -> Tensor:
            return embedded.masked_scatter(learned, context.to(embedded.dtype).expand(len(tokens), -1, -1))

        handle = self._text.token_embedding.register_forward_hook(with_context)
        try:
            features = self.model.encode_text(tokens.where(tokens != LEARNED, ANY_TOKEN))
        finally:
            handle.remove()
        return features
