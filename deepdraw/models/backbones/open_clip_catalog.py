"""Looks up models and weights in open_clip by the name of the model and the tag of the weights."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import open_clip

from deepdraw.runtime import nearest_names

TOWERS: dict[str, Any] = {"vision_cfg": open_clip.CLIPVisionCfg, "text_cfg": open_clip.CLIPTextCfg}
ARCHITECTURE_KEYS = {"embed_dim", *TOWERS, "quick_gelu", "custom_text", "multimodal_cfg", "init_logit_scale"} | {
    "init_logit_bias",
    "nonscalar_logit_scale",
}


def model_config(name: str, architecture: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """open_clip's config of a model, or the one given as `architecture`, without the captioner of a CoCa.

    Raises:
        ValueError: there is no such model (the message suggests similar names), or `architecture` is no config of one.
    """
    config = open_clip.get_model_config(name) if architecture is None else _checked(architecture)
    if config is None:
        near = nearest_names(name, open_clip.list_models(), 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "open_clip.list_models() lists them"
        raise ValueError(f"open_clip has no image-text model {name}: {hint}")
    if config.pop("multimodal_cfg", None):  # its towers are those of a CLIP that return what the captioner reads, too
        for tower in ("vision_cfg", "text_cfg"):
            config[tower] = config[tower] | {"output_tokens": False}
        config["custom_text"] = True
    return config


def registered_name(architecture: Mapping[str, Any]) -> str | None:
    """The model of open_clip with this architecture, if it has one."""
    return next((name for name in open_clip.list_models() if open_clip.get_model_config(name) == architecture), None)


def _checked(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """An architecture that may be a stranger's. Nothing in it has open_clip read weights or run a tokenizer's code."""
    config = {key: dict(value) if isinstance(value, Mapping) else value for key, value in architecture.items()}
    fault = next((f"no {key}" for key in ("embed_dim", *TOWERS) if key not in config), None)
    fault = fault or next((key for key in config if key not in ARCHITECTURE_KEYS), None)
    for tower, kind in TOWERS.items():
        known = {each.name for each in fields(kind)} - {"tokenizer_kwargs"}
        fault = fault or next((f"{tower}.{key}" for key in config[tower] if key not in known), None)
    if fault:
        raise ValueError(f"backbone.architecture is no config of a model of open_clip ({fault}): give its model_cfg")
    config["vision_cfg"]["timm_model_pretrained"] = False
    config["text_cfg"]["hf_model_pretrained"] = False
    return config


def weights_config(name: str, tag: str | None, config: dict[str, Any]) -> dict[str, Any]:
    """open_clip's entry of the weights `tag`: their address, and the mean and std of images.

    Raises:
        ValueError: there are no such weights, or they were trained with another GELU than the model's `config` has.
    """
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        raise ValueError(f"open_clip has no weights {tag} for {name}: backbone.tag is one of {tags}")
    weights = open_clip.get_pretrained_cfg(name, tag)
    if bool(weights.get("quick_gelu")) != bool(config.get("quick_gelu")):
        plain = name.removesuffix("-quickgelu")
        fix = f"{plain}-quickgelu" if weights.get("quick_gelu") else plain
        raise ValueError(f"the weights {tag} were trained with another GELU than {name} has: use backbone.name={fix}")
    return weights


def shared_preprocessing(name: str) -> dict[str, Any]:
    """The mean and std of images that all weights of a model share; empty where they differ, or there are none."""
    weights = [open_clip.get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    shared: dict[str, Any] = {}
    for key in ("mean", "std"):
        values = {tuple(each[key]) for each in weights if each.get(key)}
        if len(values) == 1:
            shared[key] = values.pop()
    return shared
