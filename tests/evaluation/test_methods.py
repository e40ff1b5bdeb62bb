"""What each method learns from classes seen before, and what it makes of features."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from deepdraw.evaluation.fewshot.methods import NearestNeighbors, Prototypes, TipAdapter
from deepdraw.fewshot import unit_length, without_learning
from deepdraw.fewshot.scorers import neighbors, prototypes, tip_adapter
from deepdraw.fewshot.whitening import fit_whitening
from deepdraw.models.prompts import text_classifier

GENERATOR = torch.Generator().manual_seed(0)
SEEN, LABELS = torch.randn(40, 8, generator=GENERATOR), torch.arange(40) % 4
QUERIES, SUPPORT = torch.randn(6, 8, generator=GENERATOR), torch.randn(4, 8, generator=GENERATOR)


def letters(texts: list[str]) -> Tensor:
    return torch.tensor([[text.count(letter) + 0.1 for letter in "abcdefgh"] for text in texts])


def task(seen: bool = True):
    backbone = SimpleNamespace(encode_text=letters)
    return SimpleNamespace(
        seen=list if seen else None,
        model=SimpleNamespace(backbone=backbone),
        loader=SimpleNamespace(classes=["bee", "cat", "dog", "egg"]),
    )


def test_prototypes_are_whitened_ahead_of_plain_ones():
    fits = Prototypes(whiten=True, shrinkage=0.3).fits(task())
    assert list(fits) == ["whitened", "prototype"]


@pytest.mark.parametrize(("whiten", "seen"), [(False, True), (True, False)])
def test_prototypes_are_plain_where_so_asked_or_nothing_seen_is_there(whiten, seen):
    assert list(Prototypes(whiten=whiten, shrinkage=0.3).fits(task(seen))) == ["prototype"]


def test_whitened_is_by_the_likelihoods_of_what_seen_classes_teach():
    space, scorer = Prototypes(whiten=True, shrinkage=0.2).fits(task())["whitened"](SEEN, LABELS)
    expected = fit_whitening(SEEN, LABELS, 0.2)
    torch.testing.assert_close(space(QUERIES), expected(QUERIES))
    arguments = space(QUERIES), space(SUPPORT), torch.arange(4), 4
    torch.testing.assert_close(scorer(*arguments), expected.log_likelihoods(*arguments))


def test_the_others_compare_features_of_unit_length_and_learn_nothing():
    for other in (SEEN, SEEN[:0]):
        space, scorer = without_learning(prototypes)(other, LABELS[: len(other)])
        assert torch.equal(space(7 * QUERIES), unit_length(7 * QUERIES))
        assert scorer is prototypes
    assert torch.allclose(unit_length(QUERIES.half()).norm(dim=1), torch.ones(6))


def test_nearest_neighbors_vote_with_their_k_and_temperature():
    space, scorer = NearestNeighbors(k=2, temperature=0.5).fits(task())["knn"](SEEN, LABELS)
    arguments = space(QUERIES), space(SUPPORT), torch.arange(4), 4
    assert torch.equal(scorer(*arguments), neighbors(*arguments, k=2, temperature=0.5))


def test_tip_adapter_reads_prompts_for_the_classes_asked_about():
    space, scorer = TipAdapter(alpha=2.0, beta=3.0, prompts=["a {}."]).fits(task())["tip"](SEEN, LABELS)
    arguments = space(QUERIES), space(SUPPORT), torch.arange(4), 4
    text = F.normalize(letters(["a bee.", "a cat.", "a dog.", "an egg."]), dim=1)
    torch.testing.assert_close(text, text_classifier(letters, ["bee", "cat", "dog", "egg"], ["a {}."]))
    torch.testing.assert_close(scorer(*arguments), tip_adapter(*arguments, text=text, alpha=2.0, beta=3.0))


@pytest.mark.parametrize(("k", "temperature"), [(0, 0.07), (20, 0.0), (-1, -1.0)])
def test_neighbors_that_cannot_vote_are_refused(k, temperature):
    with pytest.raises(ValueError, match=f"^knn with k={k} and temperature={temperature}: both must be above 0$"):
        NearestNeighbors(k, temperature)
