"""Which rendering of the same drawings a frozen encoder reads best: a linear probe for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table
from torch import Tensor, nn
from torch.nn import functional as F

import benchmarks as bench
from deepdraw.data import Shards, ShardSplit
from deepdraw.drawings import Channels, Drawings, Polarity, Rasterizer
from deepdraw.models import Classifier
from deepdraw.models.backbones import TimmBackbone
from deepdraw.runtime import find_device, keep_freed_memory, shown

BATCH = 16  # drawings in a pass of the network
C = 0.03  # inverse strength of the probe's L2 penalty, as scikit-learn counts it
MAX_STEPS = 5000  # of L-BFGS, which needs some hundred
GRADIENT_TOLERANCE = 1e-7  # the probe has converged when no entry of its loss's gradient is larger


@dataclass
class Options(bench.Options):
    """What the benchmark accepts; ValueError for numbers that measure nothing.

    The defaults send 10,800 images through the network: 6 renderings of 75 x (16 + 8) drawings.
    """

    root: str = field(default="data/quickdraw", metadata={"help": "shards, by python -m deepdraw.data.quickdraw"})
    backbone: str = field(default="tf_efficientnet_lite0", metadata={"help": "a model of timm"})
    pretrained: str = field(default="true", metadata={"help": "true for the hub's weights, or a file of weights"})
    classes: int = field(default=75, metadata={"help": "how many, evenly spaced in the train split's list"})
    train: int = field(default=16, metadata={"help": "drawings of each class that the probe is fitted to"})
    test: int = field(default=8, metadata={"help": "drawings of each class that it is tested on"})
    line_width: float = field(default=3.0, metadata={"help": "pixels; the width that the others are compared with"})
    line_widths: str = field(default="[1,2,3,5,8]", metadata={"help": "further widths, black on white"})
    channels: str = field(default="[]", metadata={"help": "further channels beside ink: [shaded,thirds]"})
    image_size: int = field(default=224, metadata={"help": "pixels"})
    sizes: str = field(default="[]", metadata={"help": "further sizes, whose line width is scaled with them"})
    device: str = field(default="auto", metadata={"help": "auto, cpu or cuda; fp32 on either"})

    def __post_init__(self) -> None:
        for name, least in (("classes", 2), ("train", 1), ("test", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} measures nothing: give at least {least}")


@dataclass(frozen=True)
class Rendering:
    """image_size and line_width: pixels; polarity, channels: as of `Rasterizer`."""

    image_size: int
    line_width: float
    polarity: Polarity = "black_on_white"
    channels: Channels = "ink"

    def rasterizer(self) -> Rasterizer:
        return Rasterizer(
            self.image_size, self.line_width, polarity=self.polarity, images="drawing", channels=self.channels
        )


def renderings(options: Options) -> list[Rendering]:
    """All that are compared, each once; first the one with which the others are compared."""
    size, line_width = options.image_size, options.line_width
    line_widths = [line_width, *_listed(options.line_widths, float, "of numbers", "line_widths=[1,2,5]")]
    sizes = _listed(options.sizes, int, "of numbers", "sizes=[160,256]")
    channels = _listed(options.channels, str.strip, "of channels", "channels=[shaded,thirds]")
    compared = [
        *(Rendering(size, width) for width in line_widths),
        Rendering(size, line_width, "white_on_black"),
        *(Rendering(other, line_width * other / size) for other in sizes),
        *(Rendering(size, line_width, channels=kind) for kind in channels),
    ]
    return list(dict.fromkeys(compared))


def _listed(text: str, read: Callable[[str], Any], what: str, example: str) -> list[Any]:
    listed = text.removeprefix("[").removesuffix("]").split(",")
    try:
        return [read(entry) for entry in listed] if listed != [""] else []
    except ValueError as error:
        raise ValueError(f"{text!r} is no list {what}: write it as {example}") from error


def spread(num_classes: int, chosen: int) -> NDArray[np.int64]:
    """`chosen` labels evenly spaced in 0..num_classes - 1; ValueError where there are fewer."""
    if chosen > num_classes:
        raise ValueError(f"classes={chosen}, but the train split has {num_classes}: give at most so many")
    return np.arange(chosen) * num_classes // chosen


def first_of_each(split: ShardSplit, labels: NDArray[np.int64], number: int) -> Drawings:
    """The first `number` drawings of each of the labels in stored order, one label after the other.

    Reads no further than it must. Raises ValueError where a label has fewer.
    """
    blocks, counts = [], np.zeros(len(split.classes), np.int64)
    for block in split:
        blocks.append(block)
        counts += np.bincount(block.labels, minlength=len(counts))
        if counts[labels].min() >= number:
            break
    else:
        scarcest = labels[counts[labels].argmin()]
        raise ValueError(
            f"a split has {counts[scarcest]} drawings of {split.classes[scarcest]!r}, not {number}: "
            f"lower train= or test=, or write shards with more drawings"
        )
    drawings = Drawings.concatenate(blocks)
    return drawings.take(np.concatenate([np.flatnonzero(drawings.labels == label)[:number] for label in labels]))


def build(options: Options, image_size: int) -> Classifier:
    """The frozen encoder for images of this size, with its trained weights.

    Raises:
        ValueError: timm has no such model or weights, or it takes no images of this size.
    """
    pretrained = True if options.pretrained == "true" else options.pretrained
    backbone = TimmBackbone(options.backbone, pretrained, image_size)
    backbone.load_pretrained()
    return Classifier(backbone, nn.Identity()).eval().to(find_device(options.device))


@torch.inference_mode()
def encode(encoder: Classifier, rasterizer: Rasterizer, drawings: Drawings, advance: Callable[[int], None]) -> Tensor:
    """Features float64 [N, D] on the CPU; tells `advance` of each batch how many drawings it had.

    Raises ValueError where a feature is no number.
    """
    batches = []
    for rows in np.split(np.arange(len(drawings)), range(BATCH, len(drawings), BATCH)):
        images = torch.from_numpy(rasterizer(drawings.take(rows)))
        batches.append(encoder.features(images.to(encoder.scale.device)).double().cpu())
        advance(len(rows))
    features = torch.cat(batches)
    if not features.isfinite().all():
        raise ValueError("features hold NaN or infinity: check the encoder's weights")
    return features


def standardize(train: Tensor, *others: Tensor) -> list[Tensor]:
    """All [N, D] less the mean of `train`, over its standard deviation; a constant feature becomes 0 there."""
    std, mean = torch.std_mean(train, dim=0, correction=0)
    std = std.where(std > 1e-6, 1)
    return [(features - mean) / std for features in (train, *others)]


def fit_probe(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression on float64 features [N, D]: weight [num_classes, D] and bias [num_classes].

    Minimises, from zeros and to convergence, cross-entropy plus the squared weights over 2 C N. That is the objective
    of scikit-learn's LogisticRegression, which spares the bias too, over C N.
    """
    weight = features.new_zeros(num_classes, features.shape[1], requires_grad=True)
    bias = features.new_zeros(num_classes, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=MAX_STEPS,
        max_eval=2 * MAX_STEPS,
        tolerance_grad=GRADIENT_TOLERANCE,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def loss_and_gradient() -> float:
        solver.zero_grad()
        penalty = weight.square().sum() / (2 * C * len(features))
        loss = F.cross_entropy(features @ weight.T + bias, labels) + penalty
        loss.backward()
        return loss.item()

    solver.step(loss_and_gradient)
    assert solver.state[weight]["n_iter"] < MAX_STEPS, "a strictly convex loss has its minimum"
    return weight.detach(), bias.detach()


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean of float [N] and its standard error."""
    return values.mean().item(), (values.std() / len(values) ** 0.5).item()


def run(options: Options) -> dict[str, Any]:
    """Fit and test a probe for each rendering of the same drawings.

    Returns `num_images`, how many went through the network; `C`; `classes`; and `renderings`, of each its `top1`, its
    `difference` to the first one's over the same test drawings, and the standard errors of both (`..._stderr`), in
    0..1. The errors are those of the choice of test drawings alone.
    """
    keep_freed_memory()
    compared = renderings(options)
    rasterizers = [rendering.rasterizer() for rendering in compared]
    encoders = {size: build(options, size) for size in {rendering.image_size for rendering in compared}}
    shards = Shards(options.root)
    train_split, test_split = shards.split("train"), shards.split("test")
    labels = spread(len(train_split.classes), options.classes)
    train, test = first_of_each(train_split, labels, options.train), first_of_each(test_split, labels, options.test)
    targets = torch.arange(options.classes)
    correct = []
    num_images = len(compared) * (len(train) + len(test))
    with Progress() as progress:
        task = progress.add_task(escape(shown(f"{num_images:,} images through {options.backbone}")), total=num_images)
        for rendering, rasterizer in zip(compared, rasterizers, strict=True):
            features = (
                encode(encoders[rendering.image_size], rasterizer, drawings, lambda n: progress.advance(task, n))
                for drawings in (train, test)
            )
            seen, unseen = standardize(*features)
            weight, bias = fit_probe(seen, targets.repeat_interleave(options.train), options.classes)
            guesses = (unseen @ weight.T + bias).argmax(dim=1)
            correct.append((guesses == targets.repeat_interleave(options.test)).double())
    return {
        "num_images": num_images,
        "C": C,
        "classes": [train_split.classes[label] for label in labels],
        "renderings": [
            asdict(rendering) | compare(right, correct[0]) for rendering, right in zip(compared, correct, strict=True)
        ],
    }


def compare(correct: Tensor, reference: Tensor) -> dict[str, float]:
    """Top-1 of `correct` (0 or 1) [N], and its difference to `reference` on the same drawings, with standard errors."""
    top1, top1_stderr = mean_and_error(correct)
    difference, difference_stderr = mean_and_error(correct - reference)
    return {
        "top1": top1,
        "top1_stderr": top1_stderr,
        "difference": difference,
        "difference_stderr": difference_stderr,
    }


def table(options: Options, figures: dict[str, Any]) -> Table:
    """A row for each rendering, and how far it is from the first."""
    title = (
        f"frozen probe of {options.backbone}, C={figures['C']}\n"
        f"{options.classes} classes, {options.train} drawings of each to fit, {options.test} to test\n"
        f"{figures['num_images']:,} images encoded; percent, with standard errors"
    )
    headings = ("size", "line width", "polarity", "channels", "top-1", "difference")
    rows = Table(*(Column(heading, justify="right") for heading in headings), title=title, title_justify="left")
    for number, figure in enumerate(figures["renderings"]):
        difference = f"{100 * figure['difference']:+.1f} ± {100 * figure['difference_stderr']:.1f}" if number else ""
        rows.add_row(
            f"{figure['image_size']:d} px",
            f"{figure['line_width']:.3g} px",
            figure["polarity"].replace("_", " "),
            figure["channels"],
            f"{100 * figure['top1']:.1f} ± {100 * figure['top1_stderr']:.1f}",
            difference,
        )
    return rows
