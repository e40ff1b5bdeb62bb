"""The image tower of any CLIP model of open_clip as a backbone. Its text tower is loaded when prompts are read."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import open_clip
import torch
from open_clip.model import resize_pos_embed
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from deepdraw.models.backbones.base import (
    POOLINGS,
    Backbone,
    LayerGroup,
    channel_values,
    check_image_size,
    check_pooling,
    checkpoint_blocks,
    pool,
)
from deepdraw.models.backbones.dry_run import check_features
from deepdraw.models.backbones.grouping import group_layers
from deepdraw.models.backbones.open_clip_catalog import model_config, shared_preprocessing, weights_config
from deepdraw.models.backbones.state_dicts import below, without_prefixes
from deepdraw.models.backbones.text_tower import TextTower
from deepdraw.models.backbones.timm import (
    check_patches,
    drop_own_pooling,
    fit_weights,
    timm_layer_groups,
    timm_poolings,
)
from deepdraw.models.backbones.weights import WEIGHTS_ON_DISK, check_pretrained, load_weights, read_weights
from deepdraw.runtime import downloading

# open_clip always builds both towers of a CLIP, so the one that is not needed is built as small as possible.
SMALLEST_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}
SMALLEST_VISION = {"image_size": 1, "patch_size": 1, "width": 64, "layers": 1}
NOT_OF_TEXT = ("visual.", "text_decoder.")  # a CoCa also has a captioner
PROJECTIONS = {"proj", "head"}  # what open_clip calls them


class OpenClipBackbone(Backbone):
    """The image tower of a CLIP. Its features are the projected ones, not normalized, or `pooling` of its tokens.

    Only the image tower is built, trained and saved. The text tower (0.5 GB of ViT-L/14's 1.7) is read from
    the pretrained weights when `encode_text` is first called, and is in no `parameters()` or `state_dict()`.

    Args:
        name: a model of `open_clip.list_models()`; OpenAI's weights need one that ends in -quickgelu.
        pretrained: True for the hub's weights `tag`, False for random ones, or the path of a weights file.
        tag: which weights, one of `open_clip.list_pretrained_tags_by_model(name)`. It also sets mean and std; without
            one these are those that all weights of the model share, else CLIP's.
        image_size: pixels; None for the model's own. Position embeddings are resampled to it.
        pooling: None or "projected" for the model's own features, the only ones that prompts can be compared with; or
            one of `POOLINGS` of the tokens before the projection (in a SigLIP: before the attention pool).
        mean, std: of each channel of images in [0, 1]; None for those that the weights were trained with.
        architecture: the `model_cfg` of an open_clip_config.json, of a model that open_clip has no name for.

    Raises:
        ValueError: no such model or tag, weights for the other GELU, a size that is no multiple of the patch size, or a
            pooling that the model does not have.
    """

    visual: Any  # one of open_clip's three kinds of image tower

    def __init__(
        self,
        name: str,
        pretrained: bool | str = True,
        tag: str | None = None,
        image_size: int | None = None,
        pooling: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        architecture: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_pretrained(pretrained)
        self.name = name
        self.pretrained = pretrained
        self.tag = tag
        self._config = model_config(name, architecture)
        self._described = architecture is not None
        needed = tag is not None or pretrained is True
        self._weights = weights_config(name, tag, self._config) if needed else {}
        self.image_size = image_size or self._config["vision_cfg"]["image_size"]
        self.visual = self._build_visual()
        self.poolings = _poolings(self.visual)
        check_pooling(name, pooling, ("projected", *self.poolings))
        self.pooling = None if pooling == "projected" else pooling
        self.num_features = self._config["embed_dim"]
        if self.pooling is not None:
            self.num_features = self._drop_projection() * (2 if pooling == "cls+mean" else 1)
        own = self._weights or shared_preprocessing(name)
        self.mean = channel_values("mean", mean, own.get("mean", open_clip.OPENAI_DATASET_MEAN))
        self.std = channel_values("std", std, own.get("std", open_clip.OPENAI_DATASET_STD))
        self._in_order = check_features(self, {})

    def _build(self, vision: dict[str, Any], text: dict[str, Any]) -> Any:
        config = {key: value for key, value in self._config.items() if key != "custom_text"}
        model = open_clip.CustomTextCLIP if self._config.get("custom_text") else open_clip.CLIP
        return model(**config | {"vision_cfg": vision, "text_cfg": text})

    def _build_visual(self) -> Any:
        """The image tower for images of `image_size`."""
        vision = self._config["vision_cfg"]
        own_size = vision["image_size"]
        if "timm_model_name" not in vision and self.image_size != own_size:
            if isinstance(vision["layers"], list):
                raise ValueError(f"{self.name} takes images of {own_size} px only: use backbone.image_size={own_size}")
            check_image_size(self.image_size, vision["patch_size"])
        visual = self._build(vision | {"image_size": self.image_size}, SMALLEST_TEXT).visual
        if isinstance(visual, TimmModel):  # timm ignored the size in the config and built the model for its own size
            check_patches(visual.trunk, self.image_size)
            visual.set_input_size(self.image_size)
        return visual

    def _drop_projection(self) -> int:
        """Remove the layers after the tokens, which would be unused, and return the width of the tokens."""
        if isinstance(self.visual, TimmModel):
            drop_own_pooling(self.visual.trunk)
            self.visual.head = nn.Sequential()
            return self.visual.trunk.num_features
        self.visual.proj = None
        return self.visual.transformer.width

    def forward(self, images: Tensor) -> Tensor:
        if self.pooling is None:
            return self.visual(images)
        tokens = self.tokens(images)
        if isinstance(self.visual, TimmModel):
            return pool(tokens, self.pooling, self.visual.trunk.num_prefix_tokens, self.visual.trunk.fc_norm)
        norm = self.visual.ln_post if self.visual.final_ln_after_pool else nn.Identity()
        return pool(tokens, self.pooling, 1, norm)

    def tokens(self, images: Tensor) -> Tensor:
        if not self.poolings:
            return super().tokens(images)
        if isinstance(self.visual, TimmModel):
            return self.visual.trunk.forward_features(images)
        tokens = self.visual.transformer(self.visual._embeds(images))
        return tokens if self.visual.final_ln_after_pool else self.visual.ln_post(tokens)

    def load_pretrained(self) -> None:
        if not self.pretrained:
            return
        file, state_dict = self._read()
        resize_pos_embed(state_dict, self)
        tower = below("visual.", state_dict)
        if isinstance(self.visual, TimmModel):
            trunk = fit_weights(self.visual.trunk, below("trunk.", tower))
            tower = {f"trunk.{key}": value for key, value in trunk.items()} | {
                key: value for key, value in tower.items() if not key.startswith("trunk.")
            }
        if self.pooling is not None:
            tower = {key: value for key, value in tower.items() if key.partition(".")[0] not in PROJECTIONS}
        load_weights(self.visual, tower, file=file, name=self.name)

    def _read(self) -> tuple[str, dict[str, Tensor]]:
        """The weights file and both towers' state dict in it."""
        if self.pretrained is not True:
            return str(self.pretrained), without_prefixes(read_weights(str(self.pretrained)), self.state_dict())
        with downloading(f"open_clip's weights {self.tag} of {self.name}", WEIGHTS_ON_DISK):
            file = open_clip.download_pretrained(self._weights)
        return file, read_weights(file)

    @property
    def has_text(self) -> bool:
        """Whether the weights are pretrained, the features projected, and a tokenizer is installed."""
        return self._obstacle is None

    @property
    def _obstacle(self) -> str | None:
        """Why prompts cannot be read, and the fix; None if they can."""
        if not self.pretrained:
            return "has no trained weights for prompts: use backbone.pretrained=true or =FILE"
        return self._text_obstacle

    @property
    def _text_obstacle(self) -> str | None:
        """Why there is no text tower beside the image tower, and the fix; None if there is one."""
        if self.pooling is not None:
            return "places prompts among projected features only: use backbone.pooling=projected"
        if "hf_model_name" in self._config["text_cfg"]:
            return "has a text tower of Hugging Face transformers, which is not read: use backbone=clip"
        if self._described and self._config["text_cfg"].get("hf_tokenizer_name"):
            return "has a tokenizer that only its description names, which is not read: use a model of open_clip"
        if "hf_tokenizer_name" in self._config["text_cfg"] and find_spec("transformers") is None:
            return "reads prompts with a tokenizer of Hugging Face transformers: pip install transformers"
        return None

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        if self._obstacle is not None:
            raise ValueError(f"{self.name} {self._obstacle}")
        tower = self.build_text_tower()  # not kept, because it takes half a gigabyte and prompts are read only once
        self.load_text_tower(tower)
        device = next(self.parameters()).device
        tokens = self._tokenizer(list(prompts)).to(device)
        return F.normalize(tower.to(device)(tokens), dim=-1)

    def build_text_tower(self) -> TextTower:
        if self._text_obstacle is not None:
            raise ValueError(f"{self.name} {self._text_obstacle}")
        model = self._build(SMALLEST_VISION, self._config["text_cfg"])
        del model.visual
        return TextTower(model.eval(), lambda prompts: self._tokenizer(prompts))

    def load_text_tower(self, tower: TextTower) -> None:
        if not self.pretrained:
            return
        file, state_dict = self._read()
        weights = {key: value for key, value in state_dict.items() if not key.startswith(NOT_OF_TEXT)}
        load_weights(tower.model, weights, file=file, name=self.name)

    @cached_property
    def _tokenizer(self) -> Any:
        source = self._config["text_cfg"].get("hf_tokenizer_name")
        if self._described:
            return open_clip.SimpleTokenizer(context_length=self._config["text_cfg"].get("context_length", 77))
        if source is None:
            return open_clip.get_tokenizer(self.name)
        with downloading(f"the tokenizer {source}", fix="fetch it once where there is a network"):
            return open_clip.get_tokenizer(self.name)

    def layer_groups(self) -> list[LayerGroup]:
        names = [name.removeprefix("visual.") for name in self._in_order]
        if isinstance(self.visual, TimmModel):
            groups = timm_layer_groups(self.visual.trunk, [name.removeprefix("trunk.") for name in names])
            groups[-1].modules.append(self.visual.head)
            groups[-1].parameters.extend(self.visual.head.parameters())
            return groups
        if isinstance(self.visual, VisionTransformer):
            embeddings = r"conv1|class_embedding|positional_embedding|ln_pre"
            matcher = {"stem": embeddings, "blocks": r"transformer\.resblocks\.(\d+)"}
            return group_layers(self.visual, matcher, in_order=names)
        return group_layers(self.visual, {"stem": r"conv\d|bn\d", "blocks": r"layer(\d+)\.(\d+)"}, "stem", names)

    def checkpoint_activations(self) -> None:
        # open_clip's wrapper of a timm model would only log a warning if timm cannot do it.
        checkpoint_blocks(self.visual.trunk if isinstance(self.visual, TimmModel) else self.visual, self.name)


def _poolings(visual: Any) -> tuple[str, ...]:
    if isinstance(visual, TimmModel):
        return timm_poolings(visual.trunk)
    return POOLINGS if isinstance(visual, VisionTransformer) and visual.attn_pool is None else ()
