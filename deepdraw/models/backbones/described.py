"""Networks that a folder or a repository of the Hugging Face hub describes: local-dir:FOLDER and hf-hub:OWNER/NAME."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from deepdraw.runtime import REPOSITORY, downloading, expand_home, read_json

TIMM = "deepdraw.models.backbones.TimmBackbone"
OPEN_CLIP = "deepdraw.models.backbones.OpenClipBackbone"
DESCRIPTIONS = {TIMM: "config.json", OPEN_CLIP: "open_clip_config.json"}
WEIGHTS = {
    TIMM: ("model.safetensors", "pytorch_model.bin"),
    OPEN_CLIP: (
        *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"),
        *("model.safetensors", "pytorch_model.bin"),
    ),
}
WRITE = "write local-dir:FOLDER, or hf-hub:OWNER/NAME with @REVISION where a certain one is meant"

Find = Callable[[Sequence[str]], Path]  # the path of the first of these files that there is


def look_up_name(backbone: DictConfig) -> None:
    """Replace a name with hf-hub: or local-dir: in the config of a backbone, in place, by what is described there.

    These are the architecture and its options, mean and std of images, and, where `pretrained` is true, the file of
    weights. So a checkpoint does without the folder and the hub. Options that the config has are kept.

    Raises:
        ValueError: there is no such description or file of weights, or the hub cannot be reached.
    """
    pixels = backbone.get("pixels")  # of a fused backbone
    node = pixels if isinstance(pixels, DictConfig) else backbone
    target, name = str(node.get("_target_")), str(node.get("name"))
    source, colon, place = name.partition(":")
    if target not in DESCRIPTIONS or not colon:
        return
    if source == "local-dir" and place:
        find = _in_folder(place)
    elif source == "hf-hub" and REPOSITORY.fullmatch(place):
        find = _on_hub(place)
    else:
        raise ValueError(f"backbone.name={name} names no folder and no repository: {WRITE}")
    file = find([DESCRIPTIONS[target]])
    described = read_json(file, dict[str, Any], fix=f"correct backbone.name={name}")
    try:
        found = _of_timm(described) if target == TIMM else _of_open_clip(described, place)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} describes no network of this library: correct backbone.name={name}") from error
    if node.get("pretrained") is True:
        found["pretrained"] = str(find(WEIGHTS[target]))
    given = {key: node.get(key) for key in ("mean", "std") if node.get(key) is not None}
    options = {"options": {**found["options"], **(node.get("options") or {})}} if "options" in found else {}
    with open_dict(node):
        node.merge_with(OmegaConf.create(found | given | options | {"_convert_": "all"}))


def _of_timm(described: Mapping[str, Any]) -> dict[str, Any]:
    trained = described.get("pretrained_cfg", described)  # older descriptions hold everything side by side
    options = {key: value for key, value in (described.get("model_args") or {}).items() if key != "num_classes"}
    return {"name": str(described["architecture"]), "options": options} | _preprocessing(trained)


def _of_open_clip(described: Mapping[str, Any], place: str) -> dict[str, Any]:
    from deepdraw.models.backbones.open_clip_catalog import registered_name

    architecture = described.get("model_cfg", described)
    found: dict[str, Any] = {"name": registered_name(architecture), "tag": None}
    if found["name"] is None:
        found |= {"name": Path(place.partition("@")[0]).name, "architecture": dict(architecture)}
    return found | _preprocessing(described.get("preprocess_cfg") or {})


def _preprocessing(trained: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(trained[key]) for key in ("mean", "std") if trained.get(key) is not None}


def _in_folder(place: str) -> Find:
    folder = Path(expand_home(place)).absolute()

    def find(names: Sequence[str]) -> Path:
        there = [folder / name for name in names if (folder / name).is_file()]
        if not there:
            raise ValueError(f"there is no {' or '.join(names)} in {folder}: correct backbone.name=local-dir:{place}")
        return there[0]

    return find


def _on_hub(place: str) -> Find:
    repository, _, revision = place.partition("@")

    def find(names: Sequence[str]) -> Path:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        with downloading(f"{names[0]} of hf-hub:{place}", fix="correct backbone.name, or use local-dir:FOLDER"):
            for name in names:
                try:
                    return Path(hf_hub_download(repository, name, revision=revision or None))
                except LocalEntryNotFoundError:  # the hub does not answer, and the file is not in its cache
                    if name == names[-1]:
                        raise
                except EntryNotFoundError:
                    continue
        raise ValueError(f"hf-hub:{place} has no {' or '.join(names)}: choose another backbone.name")

    return find
