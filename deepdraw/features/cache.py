"""Frozen backbones at the price of one pass: features computed once, kept on disk, and trained from there."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deepdraw.data.loader import Batch, Loader, Order, Share, Split
from deepdraw.drawings.augment import Augment
from deepdraw.drawings.raster import Rasterizer
from deepdraw.features.folding import fold_batch_norms
from deepdraw.features.store import BLOCK, Features, FeatureStore, FeatureWriter, disk_errors
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing.policies import will_train
from deepdraw.runtime.files import check_writable
from deepdraw.runtime.lock import Lock
from deepdraw.runtime.precision import DTYPES, Precision
from deepdraw.runtime.progress import LINE_EVERY, Bar
from deepdraw.training.recipe import Recipe

VERSION = 1  # raised when the same key comes to stand for other features
LIBRARIES = ("torch", "timm", "open_clip_torch")
SPECIMENS = 16  # drawings by which a change in how drawings are drawn is known
INNER = 16  # images that a CPU takes at once: of more, a convolutional network's activations leave its caches
POLL = 0.5  # seconds between looks at a lock that another process holds
FORGET_EVERY = 32  # batches


@dataclass(frozen=True)
class FeatureOptions:
    """The keys of `features` in the config; raises ValueError for one that cannot be meant."""

    dir: str | None
    views: int | None
    dtype: str

    def __post_init__(self) -> None:
        if self.views is not None and not (isinstance(self.views, int) and self.views >= 1):
            raise ValueError(f"features.views={self.views} must be a whole number of at least 1, or null")
        if self.dtype not in DTYPES:
            raise ValueError(f"features.dtype={self.dtype} is unknown: choose {', '.join(DTYPES)}")


def encodes_once(model: Classifier, recipe: Recipe, augment: Augment | None, options: FeatureOptions) -> bool:
    """Whether the features of a drawing are the same, or one of a few views', throughout the run.

    Where the backbone is frozen a line says so, or what is in the way.
    """
    if will_train(model) & set(model.backbone.parameters()):
        return False
    obstacle = None
    if options.dir is None:
        obstacle = "features.dir=null"
    elif recipe.limit_steps is not None:
        obstacle = "train.limit_steps tries out less than an epoch"
    elif recipe.mixup or recipe.cutmix:
        obstacle = "train.mixup and train.cutmix mix images"
    elif augment is not None and options.views is None:
        obstacle = "augment changes them each time; features.views=K would keep K views"
    if obstacle is None:
        print(f"the backbone is frozen: it encodes the drawings once, and training goes on from {options.dir}/")
    else:
        print(f"the backbone is frozen but encodes the drawings in every epoch: {obstacle}")
    return obstacle is None


@dataclass(frozen=True, eq=False)
class Encoder:
    """Drawings to features: a frozen model and all that goes before it. config: the backbone's own, resolved."""

    model: Classifier
    config: Mapping[str, Any]
    rasterizer: Rasterizer
    precision: Precision
    num_workers: int | Literal["auto"] = "auto"

    @cached_property
    def weights(self) -> str:
        """A hash of the backbone's weights, wherever they came from."""
        digest = blake2b(digest_size=16)
        for name, tensor in self.model.backbone.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    @cached_property
    def folded(self) -> Classifier:
        """The model as it encodes fastest; a line says how. Features are those of the model but for rounding."""
        model = self.model.eval()
        if self.precision.device.type != "cpu":
            print(f"encoding on {self.precision.device} in {self.precision.name}")
            return model
        specimen = torch.zeros(1, 3, self.rasterizer.size, self.rasterizer.size)
        with torch.autocast("cpu", enabled=False):  # in bf16 the two could not be held against each other
            backbone, number = fold_batch_norms(model.backbone, specimen)
        folding = f", {number} batch norms folded into convolutions" if number else ""
        print(f"encoding on the CPU in {self.precision.name}, {INNER} images at a time{folding}")
        return Classifier(backbone, nn.Identity()) if number else model

    def features(self, images: Tensor) -> Tensor:
        """Features [B, D] of images uint8 [B, H, W]."""
        inner = INNER if self.precision.device.type == "cpu" else len(images)
        with self.precision.autocast():
            return torch.cat([self.folded.features(part) for part in images.split(inner)])

    def key(self, split: Split) -> dict[str, Any]:
        """All that decides what features the drawings of a split get, in plain values.

        The first drawings, as they are drawn, stand for the code and the library that draw them. New versions of the
        libraries that compute may differ in the last bit only, but a cache lost costs less than one that is wrong.
        The device is left out: a checkpoint moves between devices, too.
        """
        rows = np.arange(min(SPECIMENS, split.block_sizes[0]))
        specimens = np.empty((len(rows), self.rasterizer.size, self.rasterizer.size), np.uint8)
        split.read(np.zeros(1, np.int64), rows, self.rasterizer, specimens)
        return {
            "version": VERSION,
            "backbone": {name: value for name, value in self.config.items() if name != "pretrained"},
            "weights": self.weights,
            "mean": list(self.model.backbone.mean),
            "std": list(self.model.backbone.std),
            "render": {name: getattr(self.rasterizer, name) for name in ("size", "line_width", "margin", "polarity")},
            "precision": self.precision.name,
            "drawings": split.fingerprint,
            "specimens": blake2b(specimens.tobytes(), digest_size=16).hexdigest(),
            "libraries": {name: version(name) for name in LIBRARIES},
        }


def cached_features(
    name: str,
    split: Split,
    encoder: Encoder,
    options: FeatureOptions,
    augment: Augment | None = None,
    seed: int = 0,
) -> Features:
    """The features of split `name`, read from `options.dir` or, where none of the same key are there, computed first.

    With `augment` they are [options.views, N, D], view k being what the drawings look like in epoch k of a training
    with this seed. Of several processes that want the same, one computes and the others wait; where it dies, one of
    those goes on from the block it had reached. Raises ValueError where they cannot be written, or a feature is too
    large for `options.dtype`.
    """
    assert options.dir is not None
    key = {**encoder.key(split), "dtype": options.dtype}
    if augment is not None:
        assert options.views is not None
        key["augment"] = {"class": type(augment).__name__, **vars(augment), "views": options.views, "seed": seed}
    digest = blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=8).hexdigest()
    store = FeatureStore(
        Path(options.dir) / f"{name}-{digest}",
        num_drawings=int(split.block_sizes.sum()),
        num_features=encoder.model.backbone.num_features,
        views=None if augment is None else options.views,
        dtype=DTYPES[options.dtype],
        about=json.dumps(key, indent=1),
    )
    loader = Loader(
        split,
        encoder.rasterizer,
        batch_size=BLOCK,
        shuffle=False,
        device=encoder.precision.device,
        augment=augment,
        num_workers=encoder.num_workers,
        seed=seed,
    )
    lock = Lock(store.folder.with_name(f"{store.folder.name}.lock"))
    said = -math.inf
    while (features := store.open()) is None:
        with disk_errors(lock.path):
            check_writable(lock.path.parent)
            acquired = lock.acquire()
        if acquired:
            with lock:
                store.discard_damaged()
                if not os.path.lexists(store.folder):
                    _compute(store, loader, encoder, lock)
        elif time.monotonic() - said > LINE_EVERY:
            said = time.monotonic()
            print(f"waiting for {lock.owner}: {store.num_written():,} of {store.num_blocks:,} blocks of {store.folder}")
        else:
            time.sleep(POLL)
    with suppress(OSError):  # of a folder that can only be read
        lock.clear()  # of a process that was killed when it had written all
    return features


@torch.inference_mode()
def _compute(store: FeatureStore, loader: Loader, encoder: Encoder, lock: Lock) -> None:
    """Compute the blocks that the store lacks, for as long as the lock is held."""
    with FeatureWriter(store) as writer, closing(loader):
        with Bar(f"features in {store.folder}", store.num_blocks, BLOCK, first=writer.num_blocks) as bar:
            for batch in _batches(loader, store, writer.num_blocks):
                if not lock.held:
                    return
                features = encoder.features(batch.images).to(store.dtype)
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
    """The drawings of all views in stored order, from this block on."""
    view, block = divmod(first, store.blocks_per_view)
    for number in range(view, store.views or 1):
        yield from loader.epoch(number, first=block)
        block = 0


class FeatureLoader:
    """Batches as a Loader of the same split, batch size and seed gives them, but of features in the place of images.

    They are float32 [B, D], of view `epoch % views`.
    """

    def __init__(
        self,
        features: Features,
        split: Split,
        *,
        batch_size: int,
        shuffle: bool,
        device: torch.device,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.classes, self.batch_size, self.num_drawings = split.classes, batch_size, len(features.labels)
        self.features, self._shuffle, self._device, self._seed = features, shuffle, device, seed
        self._share = Share(self.num_drawings, batch_size, shuffle, rank, world_size)
        self._views = features.features.view(-1, *features.features.shape[-2:])
        self._block_sizes = split.block_sizes
        self._block_starts = np.cumsum(split.block_sizes) - split.block_sizes

    def __len__(self) -> int:
        """Steps in an epoch, or, without shuffling, batches of this rank."""
        return len(self._share)

    def epoch(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on."""
        order = Order(self._block_sizes, self._seed, epoch, self._shuffle)
        features = self._views[epoch % len(self._views)]
        for index in range(first, len(self)):
            parts = order.take(*self._share.bounds(index))
            places = torch.from_numpy(np.concatenate([self._places(*part) for part in parts]))
            batch = (array[places] for array in (features, self.features.labels, self.features.key_ids))
            images, labels, key_ids = (tensor.to(self._device, non_blocking=True) for tensor in batch)
            yield Batch(images.float(), labels, key_ids)
            if index % FORGET_EVERY == 0:
                self.features.forget()

    def _places(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in stored order those at `rows` of the concatenated `blocks` are."""
        starts, sizes = self._block_starts[blocks], self._block_sizes[blocks]
        return np.concatenate([np.arange(a, a + n) for a, n in zip(starts, sizes, strict=True)])[rows]
