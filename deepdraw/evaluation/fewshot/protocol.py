"""The few-shot protocols prototype, knn and tip: classify by labeled drawings of each class, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from deepdraw.evaluation.classify import EvaluationBuilder
from deepdraw.evaluation.evaluation import Evaluation
from deepdraw.evaluation.fewshot.generalized import generalized_metrics, stacking
from deepdraw.evaluation.metrics import chance
from deepdraw.evaluation.task import Task
from deepdraw.features import LabeledFeatures
from deepdraw.fewshot import (
    Fit,
    check_supply,
    choose_offset,
    is_query,
    margins,
    over_tries,
    score_queries,
    support_sets,
)
from deepdraw.runtime import with_progress_bar

REPORTED_METRICS = ("top1", "top5", "mean_class_accuracy", "macro_f1")  # the metrics that need no probabilities


class Method(Protocol):
    """A few-shot method, an entry of `methods` in conf/protocol.

    needs_seen: whether it learns from drawings of seen classes when the split has only unseen ones. If the data source
    has no drawings of seen classes, its fits get empty tensors.
    """

    @property
    def needs_seen(self) -> bool: ...

    def fits(self, task: Task) -> dict[str, Fit]:
        """The comparisons that it offers, by name, as functions of drawings of seen classes."""
        ...


@dataclass(frozen=True)
class FewShot:
    """The few-shot protocol.

    On unseen classes, `shots` random drawings of each are the support, and the others are the queries. On the classes
    that were trained on, drawings of the training split are the support, and there is one result. On both together,
    the support is both. Pictures are made of the first method, with the most shots, in the first try.

    shots: numbers of labeled drawings of each class; tries: random support sets, drawn from `seed`.
    """

    methods: Mapping[str, Method]
    shots: Sequence[int]
    tries: int
    seed: int

    def __post_init__(self) -> None:
        if not self.shots or self.tries < 2:
            raise ValueError(
                f"protocol.shots={list(self.shots)} and protocol.tries={self.tries}: list at least one number of "
                "shots, and for a standard error ask for at least 2 tries"
            )

    def __call__(self, task: Task) -> Evaluation:
        trained_classes, classes = list(task.classes), task.loader.classes
        fits = {name: fit for method in self.methods.values() for name, fit in method.fits(task).items()}
        needs_seen = any(method.needs_seen for method in self.methods.values())
        if task.seen is None and (task.generalized or classes == trained_classes):
            raise ValueError(
                "these are classes that were trained on, and there are no other drawings of them to serve as support: "
                "set data.root to shards with a split train, or use protocol=classifier"
            )
        has_unseen = classes != trained_classes
        if has_unseen and task.labels is not None and task.limit_batches is None:  # else `support_sets` checks it
            first_unseen = len(trained_classes) if task.generalized else 0
            counts = np.bincount(task.labels, minlength=len(classes))
            check_supply(counts[first_unseen:], classes[first_unseen:], max(self.shots))
        seen = task.seen_features() if task.generalized or not has_unseen or needs_seen else None
        queries = task.query_features()
        if not has_unseen:
            assert seen is not None
            evaluation = self._on_seen_classes(task, fits, seen, queries)
        elif task.generalized:
            assert seen is not None
            evaluation = self._on_all_classes(task, fits, seen, queries)
        else:
            evaluation = self._on_unseen_classes(task, fits, seen, queries)
        evaluation.metrics.update(chance=chance(len(classes)), images_per_second=queries.images_per_second)
        return evaluation

    def _on_unseen_classes(
        self, task: Task, fits: Mapping[str, Fit], seen: LabeledFeatures | None, queries: LabeledFeatures
    ) -> Evaluation:
        metrics: dict[str, float] = {}
        first_evaluation = None
        for name, fit in fits.items():
            space, scorer = fit(*seen[:2]) if seen else fit(queries.features[:0], queries.labels[:0])
            features = space(queries.features)
            for shots in self.shots:
                mean, error = over_tries(
                    features, queries.labels, scorer, shots=shots, tries=self.tries, seed=self.seed
                )
                metrics |= {f"{name}_{shots}shot_top1": mean, f"{name}_{shots}shot_stderr": error}
            if first_evaluation is None:
                support = next(support_sets(queries.labels, max(self.shots), 1, self.seed))
                scores = score_queries(features, queries.labels, support, scorer)
                first_evaluation = _evaluation_of(task, name, scores, queries, is_query(queries.labels, support))
        assert first_evaluation is not None
        return replace(first_evaluation, metrics=metrics)

    def _on_seen_classes(
        self, task: Task, fits: Mapping[str, Fit], seen: LabeledFeatures, queries: LabeledFeatures
    ) -> Evaluation:
        metrics: dict[str, float] = {}
        first_evaluation = None
        for name, fit in fits.items():
            space, scorer = fit(*seen[:2])
            scores = scorer(space(queries.features), space(seen.features), seen.labels, len(task.classes))
            found = _evaluation_of(task, name, scores, queries)
            metrics |= {
                f"{name}_{key}": value for key, value in found.metrics.items() if key.startswith(REPORTED_METRICS)
            }
            first_evaluation = first_evaluation or found
        assert first_evaluation is not None
        return replace(first_evaluation, metrics=metrics)

    def _on_all_classes(
        self, task: Task, fits: Mapping[str, Fit], seen: LabeledFeatures, queries: LabeledFeatures
    ) -> Evaluation:
        num_seen, num_classes = len(task.classes), len(task.loader.classes)
        unseen_rows = (queries.labels >= num_seen).nonzero()[:, 0]
        metrics: dict[str, float] = {}
        first_evaluation = None
        for name, fit in fits.items():
            space, scorer = fit(*seen[:2])
            features, seen_features = space(queries.features), space(seen.features)
            for shots in self.shots:
                offset = choose_offset(seen.features, seen.labels, fit, shots=shots, seed=self.seed)
                accuracies = []
                supports = support_sets(queries.labels[unseen_rows] - num_seen, shots, self.tries, self.seed)
                for support in with_progress_bar(supports, f"{name} {shots}-shot", self.tries, len(queries.labels)):
                    chosen = unseen_rows[support.flatten()]
                    queried = is_query(queries.labels, chosen)
                    scores = scorer(
                        features,
                        torch.cat([seen_features, features[chosen]]),
                        torch.cat([seen.labels, queries.labels[chosen]]),
                        num_classes,
                    )
                    found = margins(scores[queried], queries.labels[queried], num_seen)
                    accuracies.append(found.accuracies(np.array([0.0, offset])))
                    if first_evaluation is None and shots == max(self.shots):
                        scores[:, num_seen:] += offset
                        first_evaluation = _evaluation_of(task, name, scores, queries, queried)
                        first_evaluation = replace(first_evaluation, stacking=stacking(found, offset))
                metrics |= generalized_metrics(f"{name}_{shots}shot", np.array(accuracies))
        assert first_evaluation is not None
        return replace(first_evaluation, metrics=metrics)


def _evaluation_of(
    task: Task, name: str, scores: Tensor, queries: LabeledFeatures, queried: Tensor | None = None
) -> Evaluation:
    """The evaluation of scores [N, C], of all drawings or of those that `queried`, bool [N], selects."""
    rows = torch.arange(len(scores), device=scores.device) if queried is None else queried.nonzero()[:, 0]
    builder = EvaluationBuilder(task.loader.classes, queries.features.shape[1])
    builder.add(scores[rows], queries.features[rows], queries.labels[rows], queries.key_ids[rows])
    positions = rows.cpu().numpy()
    complexity = task.complexity and task.complexity.take(positions)
    return replace(builder.build(name, complexity), positions=positions, reliability=None)
