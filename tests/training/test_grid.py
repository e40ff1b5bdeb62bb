"""Many heads at once: each is the head that the ordinary loop trains alone, and the best becomes the run's."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepdraw.data.interfaces import Epochs
from deepdraw.features.loader import FeatureLoader
from deepdraw.features.store import Features
from deepdraw.runtime.precision import Precision
from deepdraw.training.heads.grid import Grid, GridSearch, train_grid
from deepdraw.training.loop import train_step
from deepdraw.training.optim import constant, cosine
from deepdraw.training.recipe import Recipe
from deepdraw.training.state import State

CPU = torch.device("cpu")
NUM_CLASSES, NUM_FEATURES = 4, 6
RECIPE = {
    "epochs": 3,
    "limit_steps": None,
    "grad_accum": 1,
    "clip_grad": 0.5,
    "label_smoothing": 0.1,
    "mixup": 0.0,
    "cutmix": 0.0,
    "ema": None,
    "compile": False,
    "activation_checkpointing": False,
    "log_every": 50,
    "checkpoint_every": 500,
}
ADAMW = partial(torch.optim.AdamW, betas=(0.9, 0.99), fused=True)
SGD = partial(torch.optim.SGD, momentum=0.9, nesterov=True)
SWEEP = {
    "lrs": [1e-3, 3e-2],
    "weight_decays": [0.0, 0.5],
    "poolings": None,
    "algorithm": ADAMW,
    "schedule": partial(cosine, warmup=0.2),
}


def loader(number: int, *, shuffle: bool, seed: int) -> FeatureLoader:
    """Noisy features around a center for each class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, NUM_CLASSES, number)
    features = 2 * np.eye(NUM_CLASSES, NUM_FEATURES)[labels] + rng.normal(0, 1, (number, NUM_FEATURES))
    kept = Features(torch.from_numpy(features).half(), torch.from_numpy(labels), torch.arange(number))
    split = SimpleNamespace(classes=list("abcd"), block_sizes=np.array([number // 2, number - number // 2]))
    return FeatureLoader(kept, split, batch_size=16, shuffle=shuffle, device=CPU, seed=7)


@pytest.fixture
def drawings() -> FeatureLoader:
    return loader(120, shuffle=True, seed=0)


@pytest.fixture
def val() -> FeatureLoader:
    return loader(200, shuffle=False, seed=1)


@pytest.fixture
def start() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(NUM_FEATURES, NUM_CLASSES)


def grid_of(start: nn.Linear, train: Epochs, recipe: Recipe, **options) -> Grid:
    defaults = {**SWEEP, "total_steps": recipe.total_steps(train)}
    return Grid(start, **{**defaults, **options})


def alone(start: nn.Linear, train: Epochs, recipe: Recipe, algorithm, lr: float, weight_decay: float) -> Iterator:
    """The head that the ordinary loop's steps train at these settings, after each epoch."""
    head = nn.Linear(NUM_FEATURES, NUM_CLASSES)
    head.load_state_dict(start.state_dict())
    groups = [{"params": [head.weight], "weight_decay": weight_decay}, {"params": [head.bias], "weight_decay": 0.0}]
    optimizer = algorithm(groups, lr=lr)
    precision = Precision("fp32", CPU)
    schedule = cosine(optimizer, recipe.total_steps(train), warmup=0.2)
    state = State(head, None, optimizer, schedule, precision.scaler(), {}, torch.zeros(3))
    for epoch in range(recipe.epochs):
        batches = ((batch.inputs, batch.labels) for batch in train.epoch(epoch))
        for _ in range(len(train)):
            train_step(state, batches, recipe, precision)
        yield head


def same(images: Tensor) -> Tensor:
    return images


@pytest.mark.parametrize("algorithm", [ADAMW, SGD])
@pytest.mark.parametrize("clip_grad", [0.05, None])
def test_each_head_ends_as_the_ordinary_loop_trains_it_alone(algorithm, clip_grad, start, drawings, val):
    recipe = Recipe(**RECIPE | {"clip_grad": clip_grad})
    grid = grid_of(start, drawings, recipe, algorithm=algorithm)
    train_grid(grid, drawings, val, recipe, same)
    for k, row in enumerate(grid.rows):
        *_, head = alone(start, drawings, recipe, algorithm, row["lr"], row["weight_decay"])
        torch.testing.assert_close(grid.weight[k], head.weight, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(grid.bias[k], head.bias, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(grid.weight[0], grid.weight[2], atol=1e-2)


@torch.no_grad()
def test_a_row_tells_of_the_heads_best_epoch_and_its_weights_are_kept(start, drawings, val):
    recipe = Recipe(**RECIPE)
    grid = grid_of(start, drawings, recipe, lrs=[3e-2], weight_decays=[0.0])
    with torch.enable_grad():
        train_grid(grid, drawings, val, recipe, same)
        heads = [nn.Linear(NUM_FEATURES, NUM_CLASSES) for _ in range(recipe.epochs)]
        for kept, head in zip(heads, alone(start, drawings, recipe, ADAMW, 3e-2, 0.0), strict=True):
            kept.load_state_dict(head.state_dict())
    features, labels = val.features.features.float(), val.features.labels
    accuracies = [(head(features).argmax(dim=1) == labels).double().mean().item() for head in heads]
    best = heads[int(np.argmax(accuracies))]
    row = grid.rows[0]
    assert row["val/top1"] == pytest.approx(max(accuracies)) and row["val/epoch"] == np.argmax(accuracies) + 1
    loss = nn.functional.cross_entropy(best(features), labels).item()
    assert row["val/loss"] == pytest.approx(loss, rel=1e-4)
    torch.testing.assert_close(grid.head(0)["weight"], best.weight, atol=1e-5, rtol=1e-4)


def test_a_head_of_one_pooling_learns_as_if_there_were_no_other_features(start, drawings, val):
    recipe, half = Recipe(**RECIPE), NUM_FEATURES // 2
    grid = grid_of(start, drawings, recipe, lrs=[3e-2], poolings=["cls", "cls+mean", "mean"])
    train_grid(grid, drawings, val, recipe, same)
    assert [row["pooling"] for row in grid.rows] == ["cls", "cls", "cls+mean", "cls+mean", "mean", "mean"]
    for k, seen in ((0, slice(0, half)), (2, slice(0, None)), (4, slice(half, None))):
        part = nn.Linear(len(range(NUM_FEATURES)[seen]), NUM_CLASSES)
        part.load_state_dict({"weight": start.weight[:, seen], "bias": start.bias})
        single = grid_of(part, drawings, recipe, lrs=[3e-2], weight_decays=[0.0])
        train_grid(single, drawings, val, recipe, lambda features, seen=seen: features[:, seen])
        torch.testing.assert_close(grid.weight[k][:, seen], single.weight[0], atol=1e-5, rtol=1e-4)
        assert grid.weight[k].count_nonzero() == single.weight[0].count_nonzero()
        assert grid.rows[k]["val/top1"] == single.rows[0]["val/top1"]


def test_of_equally_good_heads_the_one_with_the_smaller_learning_rate_wins(start, drawings, val):
    recipe = Recipe(**RECIPE | {"epochs": 1})
    grid = grid_of(start, drawings, recipe, lrs=[1e-2, 0.0, 1e-9], weight_decays=[0.0])
    train_grid(grid, drawings, val, recipe, same)
    assert [row["lr"] for row in grid.rows] == [0.0, 1e-9, 1e-2]
    assert grid.rows[0]["val/top1"] == grid.rows[1]["val/top1"] < grid.rows[2]["val/top1"]
    assert grid.best == 2
    grid.rows.pop()
    assert grid.best == 0


def test_a_head_that_diverges_does_no_harm_to_the_others(start, drawings, val):
    recipe = Recipe(**RECIPE | {"clip_grad": None})
    sgd = {"algorithm": SGD, "weight_decays": [0.0], "schedule": partial(constant, warmup=0.0)}
    grid, sane = (grid_of(start, drawings, recipe, lrs=lrs, **sgd) for lrs in ([0.1, 1e38], [0.1]))
    for heads in (grid, sane):
        train_grid(heads, drawings, val, recipe, same)
    assert not grid.weight[1].isfinite().all()
    torch.testing.assert_close(grid.weight[0], sane.weight[0])
    assert grid.best == 0
    with pytest.raises(FloatingPointError, match="choose smaller learning rates"):
        train_grid(grid_of(start, drawings, recipe, lrs=[1e38], **sgd), drawings, val, recipe, same)


@pytest.mark.parametrize("step", [3, 7, 8, 21])
def test_a_grid_broken_off_anywhere_ends_with_the_bits_of_one_left_alone(step, start, drawings, val, tmp_path):
    class Killed(Exception):
        pass

    recipe = Recipe(**RECIPE | {"checkpoint_every": 1})
    whole, broken, resumed = (grid_of(start, drawings, recipe) for _ in range(3))
    train_grid(whole, drawings, val, recipe, same)

    def save() -> None:
        torch.save(broken.state_dict(), tmp_path / "heads.pt")
        if broken.num_steps == step:
            raise Killed

    with pytest.raises(Killed):
        train_grid(broken, drawings, val, recipe, same, save)
    resumed.load_state_dict(torch.load(tmp_path / "heads.pt", weights_only=True))
    assert resumed.num_steps == step
    train_grid(resumed, drawings, val, recipe, same)
    assert resumed.rows == whole.rows
    for name in ("weight", "bias", "best_weight", "best_bias"):
        assert torch.equal(getattr(resumed, name), getattr(whole, name)), name


@pytest.mark.parametrize(("name", "values"), [("lrs", []), ("lrs", [-1e-3]), ("weight_decays", [])])
def test_a_sweep_over_nothing_or_over_negative_rates_is_refused(name, values):
    with pytest.raises(ValueError, match=rf"fit.{name}=.* must be a list of numbers"):
        GridSearch(**SWEEP | {name: values})


@pytest.mark.parametrize("poolings", [[], ["max"]])
def test_poolings_that_are_none_are_refused(poolings):
    with pytest.raises(ValueError, match=r"fit.poolings=.* must be a list of cls, mean, cls\+mean"):
        GridSearch(**SWEEP | {"poolings": poolings})


ON_DISK = ("freeze=all", "head=grid", "fit.lrs=[1e-2,1e-3]", "fit.weight_decays=[0,0.1]")


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "heads.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_the_table_of_all_heads_and_an_ordinary_checkpoint_of_the_best(train, evaluate, capsys):
    run = train(*ON_DISK)
    table, summary = rows(run), json.loads((run / "summary.json").read_text())
    assert [(float(row["lr"]), float(row["weight_decay"])) for row in table] == list(product([1e-3, 1e-2], [0, 0.1]))
    best = max(table, key=lambda row: float(row["val/top1"]))
    assert summary["head/lr"] == float(best["lr"])
    assert summary["val/top1"] == pytest.approx(float(best["val/top1"]))
    assert summary["val/loss"] == pytest.approx(float(best["val/loss"]), rel=1e-4)
    assert "4 heads, on validation" in capsys.readouterr().out
    evaluate(run / "checkpoints/best.pt")
    assert json.loads((run / "evaluations/test.json").read_text())["test/top1"] == pytest.approx(summary["test/top1"])


def test_a_run_that_died_between_its_last_epoch_and_its_end_goes_on(train, monkeypatch, tmp_path):
    alone = train(*ON_DISK, run_dir=tmp_path / "alone")

    def die(*arguments) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr("deepdraw.training.heads.grid.finish_with_best", die)
        patch.setenv("HYDRA_FULL_ERROR", "1")
        train(*ON_DISK, run_dir=tmp_path / "dead")
    again = train(*ON_DISK, run_dir=tmp_path / "dead")
    assert rows(again) == rows(alone)
    first, second = (torch.load(run / "checkpoints/best.pt", weights_only=True)["model"] for run in (alone, again))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["freeze=none"], "set freeze=all"),
        (["freeze=all", "train.mixup=0.2"], "set train.mixup=0"),
        (["freeze=all", "fit.lrs=[]"], "fit.lrs="),
        (["freeze=all", "fit.poolings=[cls,mean]"], r"backbone.pooling=cls\+mean"),
    ],
)
def test_what_heads_side_by_side_cannot_do_is_refused_in_one_line(overrides, message, train):
    with pytest.raises(SystemExit, match=message):
        train("head=grid", *overrides)
