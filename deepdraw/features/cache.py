"""The feature cache: features of a frozen backbone are computed once, kept on disk, and read by all later runs."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from hashlib import blake2b
from pathlib import Path

import torch

from deepdraw.data import Batch, Loader, Split
from deepdraw.drawings import Augmentation
from deepdraw.features.encoder import Encoder
from deepdraw.features.options import FeatureOptions
from deepdraw.features.store import BLOCK, Features, FeatureStore, FeatureWriter, disk_errors
from deepdraw.runtime import DTYPES, LINE_EVERY, Bar, Lock, check_writable

POLL = 0.5  # seconds between looks at a lock that another process holds


def cached_features(
    name: str,
    split: Split,
    encoder: Encoder,
    options: FeatureOptions,
    augment: Augmentation | None = None,
    seed: int = 0,
) -> Features:
    """The features of split `name`, read from `options.dir`. If it has none with the same key, they are computed first.

    With `augment` they are [options.views, N, D], where view k is the augmentation of epoch k of a training with this
    seed. If several processes need the same features, one computes them and the others wait; if it dies, another one
    continues from the last complete block. Raises ValueError if they cannot be written, or a feature is too large for
    `options.dtype`.
    """
    store = _open_store(name, split, encoder, options, augment, seed)
    lock = Lock(store.folder.with_name(f"{store.folder.name}.lock"))
    last_message = -math.inf
    while (features := store.open()) is None:
        with disk_errors(lock.path):
            check_writable(lock.path.parent)
            acquired = lock.acquire()
        if acquired:
            with lock:
                store.discard_damaged()
                if not os.path.lexists(store.folder):
                    _compute(store, _open_loader(split, encoder, augment, seed), encoder, lock)
        elif time.monotonic() - last_message > LINE_EVERY:
            last_message = time.monotonic()
            print(f"waiting for {lock.owner}: {store.num_written():,} of {store.num_blocks:,} blocks of {store.folder}")
        else:
            time.sleep(POLL)
    with suppress(OSError):  # the folder may be read-only
        lock.clear()  # a process that was killed after it had written everything may have left its lock
    return features


def _open_store(
    name: str, split: Split, encoder: Encoder, options: FeatureOptions, augment: Augmentation | None, seed: int
) -> FeatureStore:
    """The place of these features on disk, named by a hash of all that they depend on."""
    assert options.dir is not None
    key = {**encoder.key(split), "dtype": options.dtype}
    if augment is not None:
        assert options.views is not None
        key["augment"] = {"class": type(augment).__name__, **vars(augment), "views": options.views, "seed": seed}
    digest = blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()
    return FeatureStore(
        Path(options.dir) / f"{name}-{digest}",
        num_drawings=int(split.block_sizes.sum()),
        num_features=encoder.model.backbone.num_features,
        views=None if augment is None else options.views,
        dtype=DTYPES[options.dtype],
        metadata=json.dumps(key, indent=1),
    )


def _open_loader(split: Split, encoder: Encoder, augment: Augmentation | None, seed: int) -> Loader:
    """The drawings of a split in stored order, in batches of a block."""
    return Loader(
        split,
        encoder.rasterizer if "pixels" in encoder.sees else None,
        points=encoder.points,
        batch_size=BLOCK,
        shuffle=False,
        device=encoder.precision.device,
        augment=augment,
        num_workers=encoder.num_workers,
        seed=seed,
    )


@torch.inference_mode()
def _compute(store: FeatureStore, loader: Loader, encoder: Encoder, lock: Lock) -> None:
    """Compute the missing blocks of the store while the lock is held."""
    with FeatureWriter(store) as writer, closing(loader):
        with Bar(f"features in {store.folder}", store.num_blocks, BLOCK, first=writer.num_blocks) as bar:
            for batch in _batches(loader, store, writer.num_blocks):
                if not lock.held:
                    return
                features = encoder.features(batch.inputs).to(store.dtype)
                if not features.isfinite().all():
                    raise ValueError(
                        f"a feature of {encoder.model.backbone.name} is no finite number in {store.dtype}: "
                        "use features.dtype=bf16 or fp32"
                    )
                writer.append(features.cpu(), batch.labels.cpu(), batch.key_ids.cpu())
                bar.advance()
        if lock.held:
            writer.finish()


def _batches(loader: Loader, store: FeatureStore, first: int) -> Iterator[Batch]:
    """The batches of all views in stored order, from block `first` on."""
    view, block = divmod(first, store.blocks_per_view)
    for number in range(view, store.views or 1):
        yield from loader.epoch(number, first=block)
        block = 0
