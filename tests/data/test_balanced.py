"""The balanced sampler takes every class equally often and keeps what a loader promises of the order."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.data import BalancedOrder, Loader, MemorySplit
from deepdraw.drawings import Augment, Drawings, Rasterizer

UNEVEN = np.repeat([0, 1, 2], [60, 9, 3])
SKETCH = Augment(rotation=15, shear=0.1, stretch=0.2, flip=0.5, dropout=0, jitter=0.01, line_width=1.4)


def blocks_of(number: int, size: int = 16) -> np.ndarray:
    return np.diff(np.append(np.arange(0, number, size), number))


def positions(order: BalancedOrder, sizes: np.ndarray, start: int, stop: int) -> list[tuple[int, int]]:
    """(stored position, times taken before) of the drawings at these positions of the epoch."""
    starts, found = np.cumsum(sizes) - sizes, []
    for blocks, rows, repeat in order.parts(start, stop):
        stored = np.concatenate([np.arange(starts[block], starts[block] + sizes[block]) for block in blocks])[rows]
        found += [(position, repeat) for position in stored.tolist()]
    return found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(0, 5), st.integers(1, 9))
def test_classes_come_equally_often_and_so_do_the_drawings_of_each(labels, epoch, batch):
    labels = np.array(labels)
    sizes = blocks_of(len(labels))
    order = BalancedOrder(sizes, labels, seed=3, epoch=epoch)
    taken = []
    for start in range(0, len(labels), batch):
        found = positions(order, sizes, start, min(start + batch, len(labels)))
        assert len(found) == min(batch, len(labels) - start)
        taken += found
    assert len(set(taken)) == len(taken)  # never a drawing twice with the same number
    stored = np.array([position for position, _ in taken])
    per_class = np.bincount(labels[stored])[np.unique(labels)]
    assert per_class.max() - per_class.min() <= 1
    for label in np.unique(labels):
        times = np.bincount(stored, minlength=len(labels))[labels == label]
        assert times.max() - times.min() <= 1


def test_another_epoch_takes_others_and_the_same_epoch_the_same():
    sizes = blocks_of(len(UNEVEN))
    one, again, other = (
        positions(BalancedOrder(sizes, UNEVEN, seed=0, epoch=epoch), sizes, 0, 72) for epoch in (0, 0, 1)
    )
    assert one == again != other
    assert {position for position, _ in one if position < 60} != {position for position, _ in other if position < 60}


@pytest.fixture
def split() -> MemorySplit:
    random = np.random.default_rng(0)
    drawings = Drawings.pack([[random.integers(0, 256, (5, 2))] for _ in UNEVEN], UNEVEN, np.arange(len(UNEVEN)))
    return MemorySplit(["a", "b", "c"], drawings)


def loader(split, **options) -> Loader:
    options = {"num_workers": 0, "augment": SKETCH, "batch_size": 12} | options
    return Loader(split, Rasterizer(24, 2.0), shuffle=True, sampler="balanced", device=torch.device("cpu"), **options)


def test_workers_ranks_and_a_start_within_an_epoch_change_nothing(split):
    whole = list(loader(split).epoch(2))
    assert np.bincount(torch.cat([batch.labels for batch in whole])).tolist() == [24, 24, 24]
    with_workers = loader(split, num_workers=2)
    for batches in (list(with_workers.epoch(2)), [*whole[:3], *loader(split).epoch(2, first=3)]):
        for one, other in zip(whole, batches, strict=True):
            assert all(map(torch.equal, one, other))
    with_workers.close()
    ranks = [loader(split, rank=rank, world_size=2).epoch(2) for rank in (0, 1)]
    for batch, *parts in zip(whole, *ranks, strict=True):
        assert sorted(batch.key_ids.tolist()) == sorted(torch.cat([part.key_ids for part in parts]).tolist())


def test_a_drawing_that_comes_again_is_augmented_otherwise(split):
    batches = list(loader(split).epoch(0))
    images, labels, key_ids = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    for key in key_ids[labels == 2].unique():
        of_key = images[key_ids == key]
        assert len(of_key) == 8
        assert len(of_key.flatten(1).unique(dim=0)) == 8
