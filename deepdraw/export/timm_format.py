"""A folder that timm loads: `timm.create_model("local-dir:FOLDER", pretrained=True)`, with the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save as safetensors_bytes
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor, nn

from deepdraw.export.format import Format, Runner
from deepdraw.export.sample import Examples, Sample
from deepdraw.inference import Trained
from deepdraw.models import Linear
from deepdraw.models.backbones import TimmBackbone
from deepdraw.runtime import write_bytes, write_json

OTHERS = "use format=onnx"
POOLINGS = {"cls": "token", "mean": "avg"}  # as timm calls them


class Timm(Format):
    """A folder with config.json and model.safetensors, for networks of timm that see images in ink, with a linear head.

    The head becomes the network's own classifier, with the temperature in its weights: the softmax of its outputs is
    the checkpoint's. Preprocessing and class names are in config.json, as timm reads them.
    """

    library = "timm"

    def check(self, trained: Trained, sample: Sample) -> None:
        timm_classifier(trained)

    def write(self, trained: Trained, place: Path, calibration: Sample) -> None:
        network, arguments = timm_classifier(trained)
        write_bytes(place / "model.safetensors", safetensors_bytes(network.state_dict()))
        write_json(place / "config.json", _description(trained, network, arguments))

    def runner(self, trained: Trained, place: Path) -> Runner:
        return timm_runner(place, trained.classes)

    def usage(self, trained: Trained, name: str) -> str:
        return timm_usage(f"local-dir:{name}")


def timm_usage(name: str) -> str:
    """The lines of Python that load a network of timm by its name, and read a drawing."""
    return (
        "import timm\n"
        "from PIL import Image\n"
        f"model = timm.create_model({name!r}, pretrained=True).eval()\n"
        "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))\n"
        'probabilities = model(transform(Image.open("drawing.png").convert("RGB"))[None]).softmax(1)\n'
        'print(model.pretrained_cfg["label_names"][probabilities.argmax()])'
    )


def timm_runner(place: Path, classes: Sequence[str]) -> Runner:
    """What timm makes of a folder: pictures of drawings, through its own transform, to probabilities.

    Raises ValueError where timm cannot load it, or gives the classes other names.
    """
    try:
        network: Any = timm.create_model(f"local-dir:{place}", pretrained=True).eval()
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"timm does not load what was written ({one_line(error)}): {OTHERS}") from error
    if list(network.pretrained_cfg.get("label_names") or ()) != list(classes):
        raise ValueError(f"timm {timm.__version__} gives the classes other names: install the newest")
    transform: Any = create_transform(**resolve_model_data_config(network), is_training=False)

    @torch.inference_mode()
    def run(examples: Examples) -> NDArray[np.float32]:
        assert examples.images is not None
        pictures = [transform(Image.fromarray(image).convert("RGB")) for image in examples.images]
        return network(torch.stack(pictures)).softmax(dim=1).numpy()

    return run


def timm_classifier(trained: Trained) -> tuple[nn.Module, dict[str, Any]]:
    """The network of timm that is this classifier, and the arguments that build it.

    Raises ValueError, in one line that says which format to choose, where timm has none.
    """
    backbone, head = trained.model.backbone, trained.model.head
    if type(backbone) is not TimmBackbone:
        raise ValueError(f"format=timm is for networks of timm that see images, and this is {backbone.name}: {OTHERS}")
    if trained.rasterizer.channels != "ink":
        channels = trained.rasterizer.channels
        raise ValueError(f"format=timm is for pictures, and this network sees render.channels={channels}: {OTHERS}")
    if type(head) is not Linear:
        raise ValueError(f"format=timm holds a linear head, and this one is {type(head).__name__}: {OTHERS}")
    arguments = {**backbone.arguments, "num_classes": len(trained.classes), **_pooling(backbone)}
    architecture = backbone.name.partition(".")[0]
    try:
        network = timm.create_model(architecture, pretrained=False, **arguments)
        _take(network, backbone.network.state_dict(), head, trained.temperature or 1.0)
    except Exception as error:  # each architecture refuses options in a way of its own
        reason = f"timm cannot build {architecture} with a classifier of this form ({one_line(error)})"
        raise ValueError(f"{reason}: {OTHERS}") from error
    return network.eval(), arguments


def _pooling(backbone: TimmBackbone) -> dict[str, Any]:
    """The arguments of timm for a pooling of `backbone.pooling`."""
    if backbone.pooling is None:
        return {}
    if backbone.pooling not in POOLINGS:
        raise ValueError(f"timm has no pooling {backbone.pooling}: {OTHERS}")
    return {
        "global_pool": POOLINGS[backbone.pooling],
        "fc_norm": not isinstance(backbone.network.fc_norm, nn.Identity),
    }


@torch.no_grad()
def _take(network: Any, features: dict[str, Tensor], head: Linear, temperature: float) -> None:
    """Load weights into a network of timm, and the head, divided by the temperature, into its classifier.

    Raises ValueError where it needs others. A distilled network has two classifiers, of which it takes the mean.
    """
    names = network.pretrained_cfg.get("classifier") or ()
    classifiers = [names] if isinstance(names, str) else list(names)
    found = network.load_state_dict(features, strict=False)
    missing = {key.rpartition(".")[0] for key in found.missing_keys}
    if not classifiers or missing != set(classifiers) or found.unexpected_keys:
        raise ValueError(f"its weights are {', '.join([*found.missing_keys, *found.unexpected_keys][:5])}")
    for name in classifiers:
        classifier = network.get_submodule(name)
        classifier.weight.copy_((head.weight / temperature).reshape(classifier.weight.shape))  # it may be a convolution
        classifier.bias.copy_(head.bias / temperature)


def _description(trained: Trained, network: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The content of config.json."""
    backbone, config = trained.model.backbone, network.pretrained_cfg
    return {
        "architecture": backbone.name.partition(".")[0],
        "num_classes": len(trained.classes),
        "num_features": network.num_features,
        "label_names": trained.classes,
        "model_args": arguments,
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [3, trained.rasterizer.size, trained.rasterizer.size],
            "fixed_input_size": bool(config.get("fixed_input_size")),
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": list(backbone.mean),
            "std": list(backbone.std),
            "num_classes": len(trained.classes),
            "first_conv": config.get("first_conv"),
            "classifier": config.get("classifier"),
        },
    }


def one_line(error: BaseException) -> str:
    """What an error says, in one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
