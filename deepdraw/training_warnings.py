"""What may be meant but rarely is: a line for each before a training begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.optim import Optimizer

from deepdraw.models import Classifier
from deepdraw.models.freezing import will_train
from deepdraw.training_data import TrainingData

USUAL_RATES = {"SGD": (1e-4, 3.0), "": (1e-6, 3e-2)}  # of the class of optimizer that is named so; "": of any other
FEW_DRAWINGS = 100  # to validate on


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
