"""What open_clip knows under the name of a model and the tag of its weights."""

from difflib import get_close_matches
from typing import Any

import open_clip


def model_config(name: str) -> dict[str, Any]:
    """open_clip's description of a model; those that caption images (CoCa) are left out.

    Raises:
        ValueError: no such model; says which names are near.
    """
    config = open_clip.get_model_config(name)
    if config is None or "multimodal_cfg" in config:
        near = get_close_matches(name, open_clip.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "open_clip.list_models() lists them"
        raise ValueError(f"open_clip has no image-text model {name}: {hint}")
    return config


def weights_config(name: str, tag: str | None, config: dict[str, Any]) -> dict[str, Any]:
    """open_clip's entry of the weights `tag`: where they are, and how they want images normalized.

    Raises:
        ValueError: no such weights, or they were trained with another GELU than the model's `config` has.
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
