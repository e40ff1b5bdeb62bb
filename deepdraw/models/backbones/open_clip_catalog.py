"""Looks up models and weights in open_clip by the name of the model and the tag of the weights."""

from typing import Any

import open_clip

from deepdraw.runtime import nearest_names


def model_config(name: str) -> dict[str, Any]:
    """open_clip's config of a model, without the captioner of a CoCa.

    Raises:
        ValueError: there is no such model; the message suggests similar names.
    """
    config = open_clip.get_model_config(name)
    if config is None:
        near = nearest_names(name, open_clip.list_models(), 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "open_clip.list_models() lists them"
        raise ValueError(f"open_clip has no image-text model {name}: {hint}")
    if config.pop("multimodal_cfg", None):  # its towers are those of a CLIP that return what the captioner reads, too
        for tower in ("vision_cfg", "text_cfg"):
            config[tower] = config[tower] | {"output_tokens": False}
        config["custom_text"] = True
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
