"""The image tower of any CLIP of open_clip as a backbone, with its text tower at hand for prompts."""

from collections.abc import Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import open_clip
import torch
from open_clip.model import resize_pos_embed
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor

from deepdraw.models.backbones import Backbone, LayerGroup, check_image_size, group_layers
from deepdraw.models.timm_backbone import timm_layer_groups
from deepdraw.models.weights import downloading, load_weights, read_weights

# open_clip builds both towers of a CLIP or none; the one that is not wanted is built as small as it can be.
SMALLEST_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}
SMALLEST_VISION = {"image_size": 1, "patch_size": 1, "width": 64, "layers": 1}


class OpenClipBackbone(Backbone):
    """The image tower of a CLIP; features are those after its projection, not normalised.

    Only the image tower is built, trained and saved. The text tower (0.5 GB of ViT-L/14's 1.7) is read from
    the pretrained weights when `encode_text` is first called, and is in no `parameters()` or `state_dict()`.

    Args:
        name: a model of `open_clip.list_models()`; OpenAI's weights need one that ends in -quickgelu.
        pretrained: True for the hub's weights `tag`, False for random ones, or the path of a weights file.
        tag: which weights, one of `open_clip.list_pretrained_tags_by_model(name)`, and how they want images
            normalised.
        image_size: pixels; None for the model's own. Position embeddings are resampled to it.

    Raises:
        ValueError: no such model or tag, a tag of the other GELU, a size that the patch does not divide.
    """

    visual: Any  # one of open_clip's three kinds of image tower

    def __init__(
        self, name: str, pretrained: bool | str = True, tag: str | None = None, image_size: int | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self.pretrained = pretrained
        self.tag = tag
        self._config = _model_config(name)
        self._weights = self._weights_config()
        vision = self._config["vision_cfg"]
        self.image_size = image_size or vision["image_size"]
        if self.image_size != vision["image_size"]:
            if "timm_model_name" in vision or isinstance(vision["layers"], list):
                raise ValueError(
                    f"{name} takes images of {vision['image_size']} px only: set backbone.image_size to it"
                )
            check_image_size(self.image_size, vision["patch_size"])
        self.visual = self._build(vision | {"image_size": self.image_size}, SMALLEST_TEXT).visual
        self.num_features = self._config["embed_dim"]
        self.mean = tuple(self._weights.get("mean", open_clip.OPENAI_DATASET_MEAN))
        self.std = tuple(self._weights.get("std", open_clip.OPENAI_DATASET_STD))

    def _weights_config(self) -> dict[str, Any]:
        """open_clip's entry of the weights `tag`, {} without a tag."""
        tags = open_clip.list_pretrained_tags_by_model(self.name)
        if self.tag is None and self.pretrained is not True:
            return {}
        if self.tag not in tags:
            raise ValueError(
                f"open_clip has no weights {self.tag} for {self.name}: backbone.tag is one of {tags}"
            )
        weights = open_clip.get_pretrained_cfg(self.name, self.tag)
        if bool(weights.get("quick_gelu")) != bool(self._config.get("quick_gelu")):
            plain = self.name.removesuffix("-quickgelu")
            name = f"{plain}-quickgelu" if weights.get("quick_gelu") else plain
            raise ValueError(
                f"the weights {self.tag} were trained with another GELU than {self.name} has: "
                f"use backbone.name={name}"
            )
        return weights

    def _build(self, vision: dict[str, Any], text: dict[str, Any]) -> Any:
        config = {key: value for key, value in self._config.items() if key != "custom_text"}
        model = open_clip.CustomTextCLIP if self._config.get("custom_text") else open_clip.CLIP
        return model(**config | {"vision_cfg": vision, "text_cfg": text})

    def forward(self, images: Tensor) -> Tensor:
        return self.visual(images)

    def load_pretrained(self) -> None:
        if not self.pretrained:
            return
        file, state_dict = self._read()
        resize_pos_embed(state_dict, self)
        prefix = "visual."
        tower = {
            key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)
        }
        load_weights(self.visual, tower, file=file, name=self.name)

    def _read(self) -> tuple[str, dict[str, Tensor]]:
        """The weights file and both towers' state dict in it."""
        if self.pretrained is not True:
            return str(self.pretrained), read_weights(str(self.pretrained))
        with downloading(f"open_clip's weights {self.tag} of {self.name}"):
            file = open_clip.download_pretrained(self._weights)
        return file, read_weights(file)

    @property
    def has_text(self) -> bool:
        """True with trained weights, unless text tower or tokenizer need Hugging Face transformers."""
        return bool(self.pretrained) and not any(key.startswith("hf_") for key in self._config["text_cfg"])

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        if not self.has_text:
            raise ValueError(
                f"{self.name} with pretrained={self.pretrained} has no text tower to read prompts with: "
                f"use backbone=clip with its trained weights"
            )
        device = next(self.parameters()).device
        tokens = open_clip.get_tokenizer(self.name)(list(prompts)).to(device)
        return self._text_tower.to(device).encode_text(tokens, normalize=True)

    @cached_property  # which, unlike an attribute that is a module, does not become part of this module
    def _text_tower(self) -> Any:
        file, state_dict = self._read()
        model = self._build(SMALLEST_VISION, self._config["text_cfg"])
        del model.visual
        tower = {key: value for key, value in state_dict.items() if not key.startswith("visual.")}
        load_weights(model, tower, file=file, name=self.name)
        return model.eval().requires_grad_(False)

    def layer_groups(self) -> list[LayerGroup]:
        if isinstance(self.visual, TimmModel):
            groups = timm_layer_groups(self.visual.trunk)
            groups[-1].modules.append(self.visual.head)
            groups[-1].parameters.extend(self.visual.head.parameters())
            return groups
        if isinstance(self.visual, VisionTransformer):
            embeddings = r"conv1|class_embedding|positional_embedding|ln_pre"
            return group_layers(self.visual, {"stem": embeddings, "blocks": r"transformer\.resblocks\.(\d+)"})
        return group_layers(
            self.visual, {"stem": r"conv\d|bn\d", "blocks": r"layer(\d+)\.(\d+)"}, first="stem"
        )


def _model_config(name: str) -> dict[str, Any]:
    """open_clip's description of a model; those that caption images (CoCa) are left out."""
    config = open_clip.get_model_config(name)
    if config is None or "multimodal_cfg" in config:
        near = get_close_matches(name, open_clip.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "open_clip.list_models() lists them"
        raise ValueError(f"open_clip has no image-text model {name}: {hint}")
    return config
