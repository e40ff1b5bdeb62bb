"""Logistic regression reaches the optimum that scikit-learn finds, as a plain linear layer."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from deepdraw.features.store import Features
from deepdraw.training.heads import logistic
from deepdraw.training.heads.logistic import Standardized, regress, zero_start

CPU = torch.device("cpu")
NUM_CLASSES = 5


def drawings(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of unlike scales, one of them constant, around a center for each class; and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, NUM_CLASSES, number)
    features = np.eye(NUM_CLASSES, 12)[labels] * 2 + rng.normal(0, 1, (number, 12))
    features = features * np.geomspace(0.1, 100, 12) + np.linspace(-50, 50, 12)
    features[:, 7] = 3
    return features.astype(np.float16), labels


def kept(features: np.ndarray, labels: np.ndarray) -> Features:
    return Features(torch.from_numpy(features), torch.from_numpy(labels), torch.arange(len(labels)))


@pytest.mark.parametrize("c", [1e-3, 1e-1, 10])
def test_it_finds_the_optimum_of_scikit_learn(c, monkeypatch):
    monkeypatch.setattr(logistic, "CHUNK", 64)
    features, labels = drawings(300, seed=0)
    unseen, true = drawings(400, seed=1)
    standardized = Standardized(kept(features, labels), CPU)
    found = regress(standardized, zero_start(standardized, NUM_CLASSES), c, max_steps=1000)
    head = standardized.fold(found.weight, found.bias)
    ours = unseen.astype(np.float32) @ head["weight"].numpy().T + head["bias"].numpy()

    scaler = StandardScaler().fit(features.astype(np.float64))
    theirs = LogisticRegression(C=c, tol=1e-7, max_iter=5000).fit(scaler.transform(features.astype(np.float64)), labels)
    expected = theirs.decision_function(scaler.transform(unseen.astype(np.float64)))
    centered = ours - ours.mean(axis=1, keepdims=True)  # one number added to all biases changes nothing
    np.testing.assert_allclose(centered, expected - expected.mean(axis=1, keepdims=True), atol=0.02, rtol=0.01)
    assert abs((ours.argmax(axis=1) == true).mean() - (expected.argmax(axis=1) == true).mean()) <= 0.003
    assert found.steps < 1000


def test_where_the_search_starts_changes_its_length_and_not_its_end():
    standardized = Standardized(kept(*drawings(300, seed=0)), CPU)
    far = regress(standardized, zero_start(standardized, NUM_CLASSES), 0.1, max_steps=1000)
    near = regress(standardized, far, 0.1, max_steps=1000)
    assert near.steps < far.steps / 4
    torch.testing.assert_close(near.weight, far.weight, atol=1e-3, rtol=1e-3)


def test_several_views_count_as_so_many_drawings():
    (first, labels), (second, _) = drawings(60, seed=0), drawings(60, seed=2)
    views = Features(torch.from_numpy(np.stack([first, second])), torch.from_numpy(labels), torch.arange(60))
    joined = kept(np.concatenate([first, second]), np.concatenate([labels, labels]))
    for (one, of_one), (two, of_two) in zip(Standardized(views, CPU), Standardized(joined, CPU), strict=True):
        assert torch.equal(one, two) and torch.equal(of_one, of_two)


def test_features_that_are_no_numbers_are_refused():
    features, labels = drawings(60, seed=0)
    features[5, 5] = np.nan
    with pytest.raises(ValueError, match="features hold NaN or infinity"):
        Standardized(kept(features, labels), CPU)


def test_a_run_resumes_at_the_strength_it_reached_and_leaves_an_ordinary_checkpoint(
    train, evaluate, monkeypatch, tmp_path
):
    overrides = ("freeze=all", "head=logistic", "fit.cs=[1,1e-3,1e-1]")
    search = logistic.regress

    def die_at_last(features, start, c, max_steps):
        if c == 1:
            raise RuntimeError
        return search(features, start, c, max_steps)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(logistic, "regress", die_at_last)
        patch.setenv("HYDRA_FULL_ERROR", "1")
        train(*overrides, run_dir=tmp_path / "run")
    run = train(*overrides, run_dir=tmp_path / "run")
    with (run / "heads.csv").open() as file:
        rows = list(csv.DictReader(file))
    summary = json.loads((run / "summary.json").read_text())
    assert [float(row["c"]) for row in rows] == [1e-3, 1e-1, 1]
    assert summary["val/top1"] == pytest.approx(max(float(row["val/top1"]) for row in rows))
    assert summary["head/c"] in [1e-3, 1e-1, 1]
    evaluate(run / "checkpoints/best.pt")
    assert json.loads((run / "evaluations/test.json").read_text())["test/top1"] == pytest.approx(summary["test/top1"])


@pytest.mark.parametrize("cs", ["[]", "[0]"])
def test_strengths_that_cannot_be_are_refused_in_one_line(cs, train):
    with pytest.raises(SystemExit, match="fit.cs="):
        train("head=logistic", "freeze=all", f"fit.cs={cs}")
