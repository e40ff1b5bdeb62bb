"""The protocols of conf/protocol by which a model is evaluated on a split; those of `fewshot` are the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepdraw.evaluation.classify import classify
from deepdraw.evaluation.evaluation import Evaluation
from deepdraw.evaluation.fewshot import FewShot, by_kind
from deepdraw.evaluation.task import Task
from deepdraw.models import Prompts, classifier_of_names, reads_names


@dataclass(frozen=True)
class Head:
    """The trained head. Raises ValueError unless the split has the classes that it was trained on."""

    def __call__(self, task: Task) -> Evaluation:
        if task.loader.classes != list(task.classes):
            raise ValueError(
                "the head was trained on other classes than this split has: use protocol=auto, prototype, knn or text"
            )
        return classify(task, "classifier", task.model.head, title="classifying")


@dataclass(frozen=True)
class Text:
    """Zero-shot: prompts over the names of the split's classes, as CLIP's authors do it (arXiv 2103.00020).

    prompts: the name of a set in `deepdraw.models.prompts`, or templates of one's own; head=prompts has a context.
    Raises ValueError without a text tower, and where encoder or context were trained on classes of the split.
    """

    prompts: str | Sequence[str]

    def __call__(self, task: Task) -> Evaluation:
        classes = task.loader.classes
        learned = isinstance(task.model.head, Prompts)
        logits = classifier_of_names(task.model, classes, self.prompts)
        common = set(classes) & set(task.classes)
        if (task.trained or learned) and common and not task.generalized:
            what = "context" if learned else "encoder"
            raise ValueError(
                f"the {what} was trained on {min(common)!r} and {len(common) - 1} more of these classes, so this "
                "would not be zero-shot: use protocol=classifier, or split=zeroshot"
            )

        evaluation = classify(task, "text", logits, title="reading against prompts")
        metrics = dict(evaluation.metrics)
        if task.generalized:
            metrics |= by_kind(evaluation.confusion, len(task.classes))
        shared = {name: metrics.pop(name) for name in ("chance", "images_per_second")}
        return replace(evaluation, metrics={f"text_{name}": value for name, value in metrics.items()} | shared)


@dataclass(frozen=True)
class Auto:
    """The trained head on the classes it was trained on; on others the text tower, if there is one, else few-shot."""

    text: Text
    fewshot: FewShot

    def __call__(self, task: Task) -> Evaluation:
        if task.loader.classes == list(task.classes):
            return Head()(task)
        return self.text(task) if reads_names(task.model) else self.fewshot(task)
