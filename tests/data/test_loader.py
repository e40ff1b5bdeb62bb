"""What a batch holds is a function of (seed, epoch, batch index) alone."""

import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.data import loader as loader_module
from deepdraw.data.interfaces import Batch
from deepdraw.data.loader import Loader
from deepdraw.data.order import Order
from deepdraw.drawings.raster import Rasterizer


class Numbers:
    """A split whose drawings are their own numbers."""

    classes = ("all",)

    def __init__(self, *block_sizes: int) -> None:
        self.block_sizes = np.array(block_sizes)

    def read(self, blocks, rows, rasterizer, images):
        starts = np.cumsum(self.block_sizes) - self.block_sizes
        numbers = np.concatenate([np.arange(self.block_sizes[b]) + starts[b] for b in blocks])[rows]
        images[:] = numbers[:, None, None]
        return numbers, numbers.astype(np.uint64)


def load(split=None, **options):
    defaults = {"batch_size": 8, "shuffle": True, "device": torch.device("cpu"), "num_workers": 0, "seed": 1}
    return Loader(split or Numbers(20, 20, 20, 7), Rasterizer(8, 1.0), **{**defaults, **options})


def epoch(loader, number=0, first=0):
    batches = list(loader.epoch(number, first))
    for batch in batches:  # kept to the end: each batch has memory of its own
        assert torch.equal(batch.inputs, batch.labels.to(torch.uint8)[:, None, None].expand(-1, 8, 8))
    return [batch.labels.tolist() for batch in batches]


@settings(deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 5), st.integers(0, 9))
def test_an_epoch_holds_every_drawing_once(sizes, window, number):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepdraw.data.order.WINDOW", window)
        split, order = Numbers(*sizes), Order(np.array(sizes), seed=0, epoch=number, shuffle=True)
        images = np.empty((sum(sizes), 8, 8), np.uint16)
        parts = [split.read(*part, None, images[: len(part[1])])[0] for part in order.take(0, sum(sizes))]
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


def test_on_a_gpu_a_batch_is_copied_while_the_one_before_is_computed_with(monkeypatch):
    happened = []

    class Stream:
        """A stand-in for a CUDA stream, which notes what it is told."""

        copies = 0

        def __init__(self, device):
            assert device.type == "cuda"

        def record_event(self):
            Stream.copies += 1
            happened.append(f"copy {Stream.copies}")
            return Stream.copies

        def wait_event(self, event):
            happened.append(f"wait for copy {event}")

    for name, stand_in in {"Stream": Stream, "stream": nullcontext, "current_stream": Stream}.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device, non_blocking: tensor)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: None)
    batches = [Batch(*(torch.tensor([number]),) * 3) for number in range(3)]
    for batch in loader_module._copied_ahead(iter(batches), torch.device("cuda")):
        happened.append(f"compute {batch.labels.item() + 1}")
    assert happened[:4] == ["copy 1", "copy 2", "wait for copy 1", "compute 1"]
    assert happened[4:] == ["copy 3", "wait for copy 2", "compute 2", "wait for copy 3", "compute 3"]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_memory_stays_flat_over_epochs(num_workers):
    loader = load(Numbers(*[512] * 8), batch_size=256, num_workers=num_workers)

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for number in range(5):
        epoch(loader, number)
    before = resident()
    for number in range(5, 45):
        epoch(loader, number)
    loader.close()
    assert resident() - before < 5 * 2**20, "40 epochs of 260 kB each"
