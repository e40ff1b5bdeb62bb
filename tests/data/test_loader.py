"""What a batch holds is a function of (seed, epoch, batch index) alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.data import loader as loader_module
from deepdraw.data.loader import Loader, Order
from deepdraw.data.raster import Rasterizer


class Numbers:
    """A split whose drawings are their own numbers."""

    classes = ("all",)

    def __init__(self, *block_sizes: int) -> None:
        self.block_sizes = np.array(block_sizes)

    def read(self, blocks, rows, rasterizer):
        starts = np.cumsum(self.block_sizes) - self.block_sizes
        numbers = np.concatenate([np.arange(self.block_sizes[b]) + starts[b] for b in blocks])[rows]
        return np.zeros((len(rows), 8, 8), np.uint8), numbers, numbers.astype(np.uint64)


def load(split=None, **options):
    defaults = {"batch_size": 8, "shuffle": True, "device": torch.device("cpu"), "num_workers": 0, "seed": 1}
    return Loader(split or Numbers(20, 20, 20, 7), Rasterizer(8, 1.0), **{**defaults, **options})


def epoch(loader, number=0, first=0):
    return [batch.labels.tolist() for batch in loader.epoch(number, first)]


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 5), st.integers(0, 9))
def test_an_epoch_holds_every_drawing_once(sizes, window, number):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader_module, "WINDOW", window)
        split, order = Numbers(*sizes), Order(np.array(sizes), seed=0, epoch=number, shuffle=True)
        parts = [split.read(*part, None)[1] for part in order.take(0, sum(sizes))]
    assert sorted(np.concatenate(parts)) == list(range(sum(sizes)))


def test_training_order_changes_with_epoch_and_seed_only():
    assert epoch(load(), 3) == epoch(load(), 3)
    assert epoch(load(), 3) != epoch(load(), 4)
    assert epoch(load(), 3) != epoch(load(seed=2), 3)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_order_does_not_depend_on_the_number_of_workers(num_workers):
    alone, many = load(), load(num_workers=num_workers)
    for number in (0, 1):
        assert epoch(many, number) == epoch(alone, number)


def test_an_epoch_can_be_entered_at_any_batch():
    loader = load()
    assert epoch(loader, 2, first=3) == epoch(loader, 2)[3:]


def test_training_leaves_out_the_last_smaller_batch():
    assert [len(batch) for batch in epoch(load())] == [8] * 8


def test_ranks_share_each_batch_in_equal_steps():
    whole = epoch(load())
    parts = [epoch(load(rank=rank, world_size=2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_evaluation_sees_every_drawing_once_in_stored_order():
    assert sum(epoch(load(shuffle=False)), []) == list(range(67))


def test_evaluation_over_ranks_sees_every_drawing_once():
    loaders = [load(shuffle=False, rank=rank, world_size=2) for rank in (0, 1)]
    batches = [epoch(loader) for loader in loaders]
    assert sorted(sum(batches[0] + batches[1], [])) == list(range(67))
    assert [len(loader) for loader in loaders] == [len(part) for part in batches]


def test_an_epoch_that_was_left_early_does_not_disturb_the_next():
    loader = load(num_workers=1)
    next(loader.epoch(0))
    assert epoch(loader, 1) == epoch(load(), 1)


def test_a_split_too_small_for_a_step_is_refused():
    with pytest.raises(ValueError, match="smaller data.batch_size"):
        load(Numbers(3))


def test_a_batch_that_ranks_cannot_share_is_refused():
    with pytest.raises(ValueError, match="multiple of the number of ranks"):
        load(world_size=3)
