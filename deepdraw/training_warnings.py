"""What may be meant but rarely is: a line for each before a training begins."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch.optim import Optimizer

from deepdraw.models import Classifier
from deepdraw.models.freezing import will_train
from deepdraw.runtime import shown
from deepdraw.training import Recipe
from deepdraw.training_data import TrainingData

USUAL_RATES = {"SGD": (1e-4, 3.0), "": (1e-6, 3e-2)}  # of the class of optimizer that is named so; "": of any other
FEW_DRAWINGS = 100  # to validate on


def disk_warnings(directory: Path, model: Classifier, recipe: Recipe) -> Iterator[str]:
    """A line where the checkpoints of a run, all that it may keep at a time, are larger than what the disk has free."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    moments = 2 * sum(parameter.numel() * parameter.element_size() for parameter in will_train(model))
    kept = min(
        recipe.epochs, (recipe.keep_checkpoints or 0) + recipe.epochs // (recipe.keep_every or recipe.epochs + 1)
    )
    last = weights * (2 if recipe.ema else 1) + moments
    needed, free = 2 * last + (1 + kept) * weights, shutil.disk_usage(directory).free  # one is written beside another
    if needed > free:
        yield (
            f"checkpoints may take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free at {shown(directory)}: free "
            "some space, keep fewer epochs, or choose another hydra.run.dir"
        )


def find_warnings(
    model: Classifier, optimizer: Optimizer, data: TrainingData, words: Sequence[str], *, pretrained: bool
) -> Iterator[str]:
    """One line for each setting that is rarely meant.

    words: the overrides of the command; pretrained: whether the backbone begins with weights that were trained.
    """
    kept = set(model.backbone.parameters()) - will_train(model)
    if kept and not pretrained:
        yield "layers of the backbone are frozen at random weights: set backbone.pretrained=true, or freeze=none"
    typed = {word.lstrip("+~").partition("=")[0] for word in words}
    if "backbone.name" in typed and "backbone.pretrained" not in typed and not pretrained:
        yield f"{model.backbone.name} starts from random weights: set backbone.pretrained=true for those of its authors"
    low, high = USUAL_RATES.get(type(optimizer).__name__, USUAL_RATES[""])
    rate = max(group.get("initial_lr", group["lr"]) for group in optimizer.param_groups)
    if not low <= rate <= high:
        yield f"optimizer.lr={rate:g} is far from what {type(optimizer).__name__} usually takes, {low:g} to {high:g}"
    number = data.loaders["val"].num_drawings
    if number < FEW_DRAWINGS:
        yield f"val holds {number} drawings, of which each moves val/top1 by {100 / number:.1f} %: validate on more"
