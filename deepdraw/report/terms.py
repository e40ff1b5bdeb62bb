"""What the terms of a report mean, each in a sentence for those who meet it for the first time."""

from __future__ import annotations

import re
from collections.abc import Iterable

TERMS = {  # a pattern of the titles of metrics, the term, and what it means
    r"\btop-\d": ("top-k", "share of drawings whose true class is among the k that the model holds for the likeliest"),
    r"MAP@3": (
        "MAP@3",
        "1 for the true class in first place, 1/2 in second, 1/3 in third, else 0; the mean over drawings",
    ),
    r"mean per-class": (
        "mean per-class accuracy",
        "the top-1 of each class, averaged, so that rare classes count alike",
    ),
    r"macro F1": ("macro F1", "harmonic mean of precision and recall of each class, averaged over classes"),
    r"harmonic mean": (
        "harmonic mean",
        "of the accuracies on seen and on unseen classes, high only where both are (docs/evaluation.md)",
    ),
    r"log-likelihood": (
        "negative log-likelihood",
        "mean of -log of the probability given to the true class, without label smoothing; lower is better",
    ),
    r"calibration error": (
        "calibration error",
        "how far confidence and accuracy are apart, on average (ECE); lower is better",
    ),
    r"scaled|temperature": (
        "temperature, scaled",
        "logits divided by one number, fitted on validation, so that confidences are more nearly right",
    ),
    r"risk-coverage": (
        "area under risk-coverage",
        "share of mistakes among the answered drawings, the most confident first, averaged over all shares answered",
    ),
    r"-shot": ("k-shot", "classes are learned from k labeled drawings each, without training; the mean over tries"),
    r"\bkNN\b": ("kNN", "the class of most of the nearest neighbors among features of labeled drawings"),
    r"\bprototype\b": ("prototype", "the class whose mean feature is nearest"),
    r"\bchance": ("chance level", "what guessing would give"),
    r" to .* %": ("95 % interval", "where the value lies for 95 of 100 samples of drawings like these"),
    r"±": ("±", "the standard error over tries"),
}


def explain(titles: Iterable[str]) -> dict[str, str]:
    """The terms in these titles of metrics, with what they mean."""
    text = "\n".join(titles)
    return dict(term for pattern, term in TERMS.items() if re.search(pattern, text))
