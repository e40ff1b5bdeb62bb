"""A trained classifier again, from its checkpoint alone."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from deepdraw.data.raster import Rasterizer
from deepdraw.models.classifier import Classifier
from deepdraw.models.lora import merged
from deepdraw.runtime.precision import Precision, find_device
from deepdraw.training.checkpoint import check_config, load_checkpoint


@dataclass(frozen=True, eq=False)
class Trained:
    """A classifier in eval mode on its device, and all that its checkpoint says of how to use it.

    config: of the run that trained it, resolved; classes: label k of its logits means `classes[k]`; rasterizer: draws
    as it saw drawings in training; temperature: what its logits are to be divided by before the softmax, fitted on val,
    or None where none is known for these very weights.
    """

    path: Path
    config: DictConfig
    classes: list[str]
    model: Classifier
    rasterizer: Rasterizer
    precision: Precision
    temperature: float | None

    @property
    def frozen(self) -> bool:
        """Whether the backbone still has the weights that training found it with (freeze=all)."""
        return self.config.freeze._target_ == "deepdraw.models.freezing.everything"

    def source(self) -> Any:
        """The data that it was trained on, of which `split(name)` gives a Split. Raises ValueError where it is gone."""
        return _made(self.config.data.source)


def rebuild(
    path: str | Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    trust: Collection[str] = (),
    pretrained: str | None = None,
    root: str | None = None,
) -> Trained:
    """The classifier of a checkpoint, with its adapters merged into its weights.

    Args:
        path: a best.pt or last.pt of train.py.
        device: auto, cpu, cuda, cuda:1 ...
        precision: auto, bf16, fp16 or fp32.
        trust: packages, beside deepdraw's own libraries, whose classes the checkpoint may name.
        pretrained: the file of the pretrained weights, where it is no longer where training read it.
        root: where the data are, if no longer where training read them.

    Raises:
        ValueError: in one line, where there is no such checkpoint, it is damaged or names foreign code, or its network
            cannot be built here.
    """
    path = Path(path).expanduser()
    checkpoint = load_checkpoint(path)
    check_config(checkpoint["config"], path, trust)
    config = OmegaConf.create(checkpoint["config"])
    if config.backbone.pretrained and pretrained is not None:
        config.backbone.pretrained = pretrained
    if root is not None:
        config.data.root = config.data.source.root = str(root)
    on = find_device(device)
    computing = Precision(precision, on)  # type: ignore[arg-type]  # which refuses other names
    model = build(config, len(checkpoint["classes"]))
    try:
        model.load_state_dict(merged(checkpoint["model"]))
    except RuntimeError as error:
        reason = " ".join(str(error).partition("\n")[2].split())
        raise ValueError(
            f"{path}: its weights do not fit the network that its config builds here ({reason[:200]}): "
            "install the versions that trained it, which its run's summary.json lists"
        ) from error
    best = checkpoint.get("best") or {}
    return Trained(
        path=path,
        config=config,
        classes=list(checkpoint["classes"]),
        model=model.to(on).eval(),
        rasterizer=Rasterizer(**config.render),
        precision=computing,
        # a last.pt tells of the best weights, which are not its own
        temperature=None if "optimizer" in checkpoint else best.get("val/temperature"),
    )


def build(config: DictConfig, num_classes: int) -> Classifier:
    """The classifier that a run's config names, with random weights, as training built it."""
    backbone = _made(config.backbone)
    return Classifier(backbone, _made(config.head, num_features=backbone.num_features, num_classes=num_classes))


def _made(config: DictConfig, **arguments: Any) -> Any:
    """What the config names, made; bad input as the ValueError that it is."""
    try:
        return instantiate(config, **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, ValueError):
            raise error.__cause__ from None
        raise
