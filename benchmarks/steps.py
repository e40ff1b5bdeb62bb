"""A model's forward pass and its training step, each as a call, from the words that train.py takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from hydra.utils import instantiate
from omegaconf import DictConfig, MissingMandatoryValue
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.flops import count_flops
from deepdraw.models import Classifier
from deepdraw.models.freezing import freeze, thaw
from deepdraw.runtime import find_device
from deepdraw.training import Recipe, State, average, train_step

CONF = Path(__file__).parents[1] / "conf"
FLOPS_IMAGES = 2  # images of which FLOPs are counted, by forward() because compiled calls hide them


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Raise ValueError with one line where Hydra refuses a word, or what it names cannot be made."""
    try:
        yield
    except MissingConfigException as error:
        choices = ", ".join(error.options or [])
        raise ValueError(f"conf has no {error.missing_cfg_file}: choose {choices}") from error
    except (HydraException, MissingMandatoryValue) as error:
        cause = error.__cause__ if isinstance(error, InstantiationException) else error
        if isinstance(cause, MissingMandatoryValue):
            raise ValueError(f"{cause.full_key} is missing: add overrides={cause.full_key}=...") from error
        if not isinstance(cause, ValueError | HydraException):
            raise
        raise ValueError(" ".join(str(cause).split())) from error


def train_config(words: Sequence[str]) -> DictConfig:
    """What train.py would read with these words, but for pretrained weights.

    Raises:
        ValueError: the repository's conf is not beside the package.
        HydraException: it has no such option or key.
    """
    if not CONF.is_dir():
        raise ValueError(f"there is no {CONF}: run the benchmark in a clone of the repository")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [*words, "backbone.pretrained=false"])


def build(cfg: DictConfig, num_classes: int) -> Classifier:
    """The model as it is in its first epoch, on its device, with random weights."""
    torch.manual_seed(cfg.seed)
    backbone = instantiate(cfg.backbone)
    if cfg.train.activation_checkpointing:
        backbone.checkpoint_activations()
    frozen = instantiate(cfg.freeze, backbone.layer_groups())
    head = instantiate(cfg.head, num_features=backbone.num_features, num_classes=num_classes)
    model = Classifier(backbone, head).to(find_device(cfg.device))
    freeze(model, frozen)
    thaw(model, epoch=0)
    return model


def forward_pass(cfg: DictConfig, model: Classifier, images: Tensor) -> Callable[[], None]:
    """What evaluate.py does with a batch of images uint8 [B, H, W]."""
    precision = instantiate(cfg.precision, device=images.device)
    model.eval()

    @torch.inference_mode()
    def call() -> None:
        with precision.autocast():
            model(images).float()

    if cfg.train.compile:
        model.compile()
    return call


def training_step(cfg: DictConfig, model: Classifier, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """What train.py does with a batch; with train.grad_accum, with so many.

    It keeps no features of a frozen backbone, and its learning rates stay about zero, in the first steps of a long
    warm-up.
    """
    recipe, precision = Recipe(**cfg.train), instantiate(cfg.precision, device=images.device)
    optimizer = instantiate(cfg.optimizer, model, _convert_="all", pretrained=False)
    state = State(
        model=model.train(),
        averaged=average(model, recipe.ema) if recipe.ema else None,
        optimizer=optimizer,
        schedule=instantiate(cfg.schedule, optimizer, 10**9),
        scaler=precision.scaler(),
        loggers={},
        recent=torch.zeros(3, device=images.device),
    )
    if cfg.train.compile:
        model.compile()
    batches = repeat((images, labels))
    return lambda: train_step(state, batches, recipe, precision)


def forward_flops(model: Classifier, images: Tensor) -> float:
    """FLOPs of the forward pass for each image."""
    model.eval()
    with torch.no_grad():
        return count_flops(lambda: model.forward(images[:FLOPS_IMAGES])) / FLOPS_IMAGES


def training_flops(model: Classifier, images: Tensor, labels: Tensor) -> float:
    """FLOPs of the forward and the backward pass for each image: what is frozen has no gradients."""
    model.train()

    def call() -> None:
        cross_entropy(model.forward(images[:FLOPS_IMAGES]), labels[:FLOPS_IMAGES]).backward()

    return count_flops(call) / FLOPS_IMAGES
