"""Any image model of timm as a backbone."""

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import Any

import timm
from timm.data import resolve_model_data_config
from timm.layers import to_2tuple
from timm.models import PretrainedCfg, _registry
from timm.models._manipulate import MATCH_PREV_GROUP
from torch import Tensor, nn

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
from deepdraw.models.backbones.grouping import Matcher, group_layers
from deepdraw.models.backbones.state_dicts import without_prefixes
from deepdraw.models.backbones.weights import (
    WEIGHTS_ON_DISK,
    check_hub_cache,
    check_pretrained,
    load_weights,
    read_weights,
)
from deepdraw.runtime import downloading, nearest_names

# arguments of timm.create_model that name files or addresses of weights
FILE_OPTIONS = frozenset({"checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"})

ABOVE = re.compile(r"norm|fc|head|classif")  # modules above the last block of the architectures that describe no groups


class TimmBackbone(Backbone):
    """A timm model without its classifier. Its features are the model's own pooled ones, or `pooling` of its tokens.

    Args:
        name: a model of `timm.list_models()`, with or without the tag of its weights.
        pretrained: True for the hub's weights, False for random ones, or the path of a weights file.
        image_size: pixels; None for the model's own. Position embeddings are resampled to it.
        options: further arguments of the architecture, such as `drop_path_rate` or `channels`.
        pooling: None for the model's own, or one of `POOLINGS`.
        mean, std: of each channel of images in [0, 1]; None for those that the weights were trained with.

    `arguments` are those with which timm builds the network.

    Raises:
        ValueError: no such model or weights, options that the model does not take or that name files, a size that is no
            multiple of the patch size, or a pooling that the model does not have.
    """

    network: Any  # each architecture is a class of its own, with attributes of its own

    def __init__(
        self,
        name: str,
        pretrained: bool | str = True,
        image_size: int | None = None,
        options: Mapping[str, Any] | None = None,
        pooling: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if files := sorted(FILE_OPTIONS & set(options or {})):
            raise ValueError(f"backbone.options.{files[0]} would read weights past deepdraw: use backbone.pretrained")
        check_pretrained(pretrained)
        name = current_name(name)
        config = _pretrained_config(name)
        if pretrained is True and not config.has_weights:
            raise ValueError(f"timm has no trained weights for {name}: use backbone.pretrained=false or =FILE")
        self.name = name
        self.pretrained = pretrained
        self.pooling = pooling
        self.arguments: dict[str, Any] = {"num_classes": 0, **(options or {})}
        if image_size is not None and config.fixed_input_size:
            self.arguments["img_size"] = image_size
        self.network = self._build()
        self.poolings = timm_poolings(self.network)
        check_pooling(name, pooling, self.poolings)
        if pooling is not None:
            drop_own_pooling(self.network)
        data_config = resolve_model_data_config(self.network)
        self.mean = channel_values("mean", mean, data_config["mean"])
        self.std = channel_values("std", std, data_config["std"])
        self.image_size = image_size or data_config["input_size"][-1]
        # Some models keep a hidden layer of their classifier. Their features are the outputs of that layer.
        width = getattr(self.network, "head_hidden_size", self.network.num_features)
        self.num_features = width * (2 if pooling == "cls+mean" else 1)
        check_patches(self.network, self.image_size)
        self.in_order = self.order_of_use(options or {}, config.input_size[-1])

    def _build(self) -> Any:
        try:
            network = timm.create_model(self.name, pretrained=False, **self.arguments)
        except Exception as error:  # each architecture refuses options in a way of its own
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(
                f"timm cannot build {self.name} with {self.arguments} ({reason}): "
                f"correct backbone.options or backbone.image_size"
            ) from error
        if not isinstance(getattr(network, "num_features", None), int):  # with features_only it is a list of maps
            raise ValueError(f"{self.name} with {self.arguments} gives no vector of features: correct backbone.options")
        return network

    def order_of_use(self, options: Mapping[str, Any], own_size: int) -> list[str]:
        """Names of the network's layers by their first use; ValueError where it does not take its images."""
        names = check_features(self, options, own_size=own_size)
        return [name.removeprefix("network.") for name in names]

    def forward(self, images: Tensor) -> Tensor:
        if self.pooling is None:
            return self.network(images)
        tokens = self.tokens(images)
        return pool(tokens, self.pooling, self.network.num_prefix_tokens, self.network.fc_norm)

    def tokens(self, images: Tensor) -> Tensor:
        return self.network.forward_features(images) if self.poolings else super().tokens(images)

    def load_pretrained(self) -> None:
        if self.pretrained is True:
            with downloading(f"timm's weights of {self.name}", WEIGHTS_ON_DISK):
                trained = timm.create_model(self.name, pretrained=True, **self.arguments)
            if repository := _pretrained_config(self.name).hf_hub_id:
                check_hub_cache(repository)
            if self.pooling is not None:
                drop_own_pooling(trained)
            self.network.load_state_dict(trained.state_dict())
        elif self.pretrained:
            state_dict = fit_weights(self.network, read_weights(self.pretrained))
            load_weights(self.network, state_dict, file=self.pretrained, name=self.name)

    def layer_groups(self) -> list[LayerGroup]:
        return timm_layer_groups(self.network, self.in_order)

    def checkpoint_activations(self) -> None:
        checkpoint_blocks(self.network, self.name)


def timm_poolings(network: Any) -> tuple[str, ...]:
    """The `POOLINGS` that a timm model supports: only plain vision transformers of timm have any."""
    if not (hasattr(network, "num_prefix_tokens") and hasattr(network, "fc_norm")):
        return ()
    return POOLINGS if getattr(network, "cls_token", None) is not None else ("mean",)


def drop_own_pooling(network: Any) -> None:
    """Remove the attention pool that a vision transformer may have, because it would be unused."""
    network.reset_classifier(0, "avg")


def check_patches(network: Any, image_size: int) -> None:
    """Raise ValueError where the patches of a timm model do not tile images of this size."""
    embed = getattr(network, "patch_embed", None)  # its patches may overlap, or be padded
    patch_size = getattr(embed, "patch_size", None)
    stride = getattr(getattr(embed, "proj", None), "stride", patch_size)
    if patch_size is None or to_2tuple(stride) != to_2tuple(patch_size) or getattr(embed, "dynamic_img_pad", False):
        return
    check_image_size(image_size, to_2tuple(patch_size)[0])


def fit_weights(network: Any, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Resample position embeddings, translate foreign names as timm does, and drop the weights of a classifier."""
    state_dict = without_prefixes(state_dict, network.state_dict())
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        # The filter may fail on weights of another architecture. Comparing the keys later gives a better message.
        with suppress(KeyError, RuntimeError):
            state_dict = convert(state_dict, network)
    classifiers = network.pretrained_cfg.get("classifier") or ()
    classifiers = (classifiers,) if isinstance(classifiers, str) else classifiers
    heads = {"attn_pool", *(classifier.partition(".")[0] for classifier in classifiers)}
    own = network.state_dict()
    return {key: value for key, value in state_dict.items() if key in own or key.partition(".")[0] not in heads}


def current_name(name: str) -> str:
    """timm's name of today for a model, with the tag of its weights, where `name` is an older one.

    Raises:
        ValueError: the model has been removed.
    """
    old = _registry._deprecated_models  # timm itself maps them with a warning, but only while it builds
    if name not in old:
        return name
    if old[name] is None:
        raise ValueError(f"timm has removed the model {name}: choose another backbone.name")
    print(f"{name} is called {old[name]} in timm today")
    return str(old[name])


def _pretrained_config(name: str) -> PretrainedCfg:
    if not timm.is_model(name):
        near = nearest_names(name, timm.list_models(), 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists them"
        raise ValueError(f"timm has no model {name}: {hint}")
    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        tagged = timm.list_models(f"{name.partition('.')[0]}.*", pretrained=True)
        raise ValueError(f"timm has no weights {name}: backbone.name is one of {', '.join(tagged)}") from error
    assert config is not None
    return config


def timm_layer_groups(network: Any, in_order: Sequence[str] = ()) -> list[LayerGroup]:
    """timm's own layer groups of a model, with the final norm separate from the last block.

    Where timm takes a whole stage, or all of them, for one block, each of its blocks is a group. Names of parameters in
    the order of their first use place those of which timm says nothing. Where it names no block, as of LeViT in timm
    1.0.21, the modules of the network are asked.
    """
    first = "embeddings" if hasattr(network, "patch_embed") else "stem"
    matcher = network.group_matcher() if hasattr(network, "group_matcher") else {}
    if not callable(matcher):
        matcher = {name: _without_final_norm(spec) for name, spec in matcher.items()}
    groups = group_layers(network, matcher, first, in_order) if matcher else []
    has_blocks = len(groups) > 2
    return groups if has_blocks else group_layers(network, _by_top_level_module(network), first, in_order)


def _by_top_level_module(network: nn.Module) -> Matcher:
    order = {name: index for index, (name, _) in enumerate(network.named_children()) if not ABOVE.match(name)}
    return lambda name: 0 if "." not in name and name else order.get(name.partition(".")[0], inf)


def _without_final_norm(spec: Any) -> Any:
    """Drop the patterns that timm merges with the last block. Patterns with a number join stages and are kept."""
    if not isinstance(spec, list | tuple):
        return spec
    return [(pattern, suffix) for pattern, suffix in spec if suffix != MATCH_PREV_GROUP or re.compile(pattern).groups]
