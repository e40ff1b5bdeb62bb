"""The evaluation of classes that were taught to a trained network: all names at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from deepdraw.evaluation.classify import EvaluationBuilder
from deepdraw.evaluation.evaluation import Evaluation
from deepdraw.evaluation.fewshot import by_kind
from deepdraw.evaluation.metrics import chance
from deepdraw.evaluation.task import Task
from deepdraw.inference import Taught, Trained


@dataclass(frozen=True)
class TaughtClasses:
    """Guesses among the classes trained on and those that were taught, under keys such as `taught_top1`.

    `taught_seen`, `taught_unseen` and their harmonic mean are as of split=generalized, where the split has drawings of
    both; `taught_among_new_top1` is of the drawings of taught classes, guessed among these alone.
    """

    trained: Trained
    taught: Taught

    def __call__(self, task: Task) -> Evaluation:
        found, num_seen = task.query_features(), len(self.trained.classes)
        with torch.inference_mode():
            logits = self.taught.classifier(self.trained)(found.features).float()
        builder = EvaluationBuilder(task.loader.classes, found.features.shape[1])
        builder.add(logits, found.features, found.labels, found.key_ids)
        evaluation = builder.build("taught", task.complexity)
        metrics, is_new = dict(evaluation.metrics), found.labels >= num_seen
        del metrics["chance"]
        if is_new.any():
            among_new = logits[is_new][:, num_seen:].argmax(dim=1) == found.labels[is_new] - num_seen
            metrics["among_new_top1"] = among_new.double().mean().item()
        if is_new.any() and not is_new.all():
            metrics |= by_kind(evaluation.confusion, num_seen)
        named = {f"taught_{name}": value for name, value in metrics.items()}
        shared = {"chance": chance(len(task.loader.classes)), "images_per_second": found.images_per_second}
        return replace(evaluation, metrics=named | shared)
