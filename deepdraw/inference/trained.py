"""Rebuilds a trained classifier from its checkpoint."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from deepdraw.config import add_later_options, check_arguments, check_config, make
from deepdraw.data import Loader, Split
from deepdraw.data.tars import is_remote
from deepdraw.drawings import Augmentation, PointSampler, Rasterizer
from deepdraw.fewshot import KnownClasses
from deepdraw.inference.known import known_of_checkpoint
from deepdraw.models import Classifier, ModelPlan
from deepdraw.models.backbones import Backbone
from deepdraw.models.freezing import keeps_all
from deepdraw.models.layers import merged
from deepdraw.runtime import Precision, best_checkpoint, find_device
from deepdraw.training import load_checkpoint

POLICIES = "deepdraw.models.freezing."
DOODLES = "deepdraw.data.doodles.open_doodles"  # which draws and writes them if there are none


@dataclass(frozen=True, eq=False)
class Trained:
    """A classifier in eval mode on its device, with the information in its checkpoint.

    config: that of the run that trained it, resolved; classes: column k of the logits means `classes[k]`; rasterizer:
    draws as in training; temperature: fitted on val, divides the logits before the softmax; None if it is not known for
    these weights; frozen: whether training left all weights of the backbone as it found them; root_given: whether the
    command itself named the place of the data; epoch: whose weights they are, from 1; None if it is not known; known:
    what the classes lend to new ones that are taught, where the checkpoint holds it; trust: packages, beside deepdraw's
    own libraries, whose classes it may name.
    """

    path: Path
    config: DictConfig
    classes: list[str]
    model: Classifier
    rasterizer: Rasterizer
    points: PointSampler | None  # where the backbone sees strokes
    precision: Precision
    temperature: float | None
    frozen: bool
    root_given: bool = False
    epoch: int | None = None
    known: KnownClasses | None = None
    trust: tuple[str, ...] = ()

    @property
    def sees(self) -> tuple[str, ...]:
        """What the backbone sees of a drawing: pixels, strokes, or both."""
        return self.model.backbone.sees

    def load(
        self,
        split: Split,
        *,
        batch_size: int,
        num_workers: int | Literal["auto"],
        views: Sequence[Augmentation] = (),
    ) -> Loader:
        """The drawings of a split in stored order, as the backbone sees them, or in several views, on its device."""
        return Loader(
            split,
            self.rasterizer if "pixels" in self.sees else None,
            points=self.points,
            batch_size=batch_size,
            shuffle=False,
            device=self.precision.device,
            views=views,
            num_workers=num_workers,
        )

    def source(self) -> Any:
        """The data that it was trained on, of which `split(name)` gives a Split.

        Raises ValueError where it is gone, or where only a command may say that it be fetched or drawn.
        """
        source = self.config.data.source
        if not self.root_given:
            _check_only_read(source)
        return make(source, "data.source")


def rebuild(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: str = "auto",
    trust: Collection[str] = (),
    pretrained: str | None = None,
    root: str | None = None,
    images: str | None = None,
) -> Trained:
    """The classifier of a checkpoint, with its adapters merged into its weights.

    Args:
        path: a best.pt or last.pt of train.py, or the directory of a run, whose best.pt is meant.
        device: auto, cpu, cuda, cuda:1 ...
        precision: auto, bf16, fp16 or fp32.
        trust: packages, beside deepdraw's own libraries, whose classes the checkpoint may name.
        pretrained: the file of the pretrained weights, where it is no longer where training read it.
        root: where the data are, if no longer where training read them.
        images: "refused" or "traced" for a network that sees strokes, where it is not as in training.

    Raises:
        ValueError: in one line, where there is no such checkpoint, it is damaged or names foreign code, or its network
            cannot be built here.
    """
    path = best_checkpoint(path)
    checkpoint = load_checkpoint(path)
    check_config(checkpoint["config"], path, trust)
    config = _with_places(_sections(checkpoint["config"], path), pretrained, root)
    chosen_device = find_device(device)
    chosen_precision = Precision(precision, chosen_device)  # type: ignore[arg-type]  # which refuses other names
    try:
        for key, call in (("render", Rasterizer), ("input", PointSampler)):
            check_arguments(key, call, checkpoint["config"][key])
        rasterizer = Rasterizer(**config.render)
        plan = ModelPlan.of(config)
        if images is not None:
            if "strokes" not in plan.backbone.sees:
                raise ValueError(f"images={images} is for networks that see strokes: leave it out for this one")
            config.input.images = images
        points = PointSampler(**config.input) if "strokes" in plan.backbone.sees else None
        frozen = _is_frozen(checkpoint, config, plan.backbone)
        model = plan.build(len(checkpoint["classes"]))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    _load_weights(model, checkpoint["model"], path)
    best = checkpoint.get("best") or {}
    return Trained(
        path=path,
        config=config,
        classes=list(checkpoint["classes"]),
        model=model.to(chosen_device).eval(),
        rasterizer=rasterizer,
        points=points,
        precision=chosen_precision,
        # a last.pt tells of the best weights, which are not its own
        temperature=None if "optimizer" in checkpoint else best.get("val/temperature"),
        frozen=frozen,
        root_given=root is not None,
        epoch=_epoch(checkpoint),
        known=_known(checkpoint, model, path),
        trust=tuple(trust),
    )


def _known(checkpoint: Mapping[str, Any], model: Classifier, path: Path) -> KnownClasses | None:
    """What the classes lend to new ones, on the device of the model. Raises ValueError where it is of others."""
    if "known" not in checkpoint:
        return None
    try:
        known = known_of_checkpoint(checkpoint["known"], model.backbone.num_features, len(checkpoint["classes"]))
    except ValueError as error:
        raise ValueError(
            f"{path}: what it holds to teach new classes with is not of its network ({error}): use one that "
            "deepdraw.export wrote"
        ) from error
    return known.to(next(model.parameters()).device)


def _epoch(checkpoint: Mapping[str, Any]) -> int | None:
    """The epoch of the weights: of a last.pt the one that it has reached, of others the one that they say."""
    reached, best = checkpoint.get("progress"), checkpoint.get("best")
    found = reached.get("epoch") if isinstance(reached, dict) else isinstance(best, dict) and best.get("val/epoch")
    return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _with_places(config: DictConfig, pretrained: str | None, root: str | None) -> DictConfig:
    """The config with the places of pretrained weights and data that the command gave, where it gave any."""
    pixels = config.backbone.get("pixels")  # of a fused backbone
    encoder = pixels if isinstance(pixels, DictConfig) else config.backbone
    if encoder.get("pretrained") and pretrained is not None:
        encoder.pretrained = pretrained
    if root is not None:
        key = "root" if "root" in config.data.source else "file"  # of a data=csv
        config.data[key] = config.data.source[key] = str(root)
    return config


def _is_frozen(checkpoint: Mapping[str, Any], config: DictConfig, backbone: Backbone) -> bool:
    """Whether training left all parameters of the backbone as they were.

    Deepdraw's own freeze policies are asked again. One of another package may be any function, and the config is that
    of the checkpoint, so it is not run: training wrote down what it did.
    """
    policy = config.get("freeze")
    if isinstance(policy, DictConfig) and all(target.startswith(POLICIES) for target in _targets(policy)):
        return keeps_all(backbone, make(policy, "freeze", backbone.layer_groups()))
    return checkpoint.get("frozen") is True


def _targets(policy: DictConfig) -> list[str]:
    """What the config of a policy names: itself, and the policies of both halves of a fused backbone."""
    below = [part for part in policy.values() if isinstance(part, DictConfig)]
    return [str(part.get("_target_")) for part in (policy, *below)]


def _load_weights(model: Classifier, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load the weights of a checkpoint, adapters merged. Raises ValueError where they are of another network."""
    try:
        model.load_state_dict(merged(weights))
    except RuntimeError as error:
        reason = " ".join(str(error).partition("\n")[2].split())
        raise ValueError(
            f"{path}: its weights do not fit the network that its config builds here ({reason[:200]}): "
            "install the versions that trained it, which its run's summary.json lists"
        ) from error


def _sections(config: dict[str, Any], path: Path) -> DictConfig:
    """The config of a checkpoint, all of whose parts are there that are used again. Raises ValueError otherwise."""
    add_later_options(config)
    needed = (("backbone", "_target_"), ("head", "_target_"), ("render",), ("input",), ("data", "source"))
    for section, *keys in needed:
        part = config.get(section)
        if not isinstance(part, dict) or not part.keys() >= set(keys):
            raise ValueError(f"{path}: its config has no {'.'.join([section, *keys])}: use one that deepdraw wrote")
    return OmegaConf.create(config)


def _check_only_read(source: DictConfig) -> None:
    """Raise ValueError where opening the data of a checkpoint would fetch them, run a command or write new ones."""
    root = source.get("root")
    if isinstance(root, str) and is_remote(root):
        raise ValueError(
            f"a checkpoint has nothing fetched: if you trust the address {root[:200]!r}, give data.root=..."
        )
    if source._target_ == DOODLES and not (Path(str(root)) / "index.json").exists():
        raise ValueError(f"the doodles are not in {root} any more: give data.root=... to say where to draw them anew")
