"""Cached features: those of the model, computed once whatever happens, never stale, and trained from as from images."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepdraw.data.loader import Loader
from deepdraw.data.shards import Shards
from deepdraw.drawings.augment import Augment
from deepdraw.drawings.raster import Rasterizer
from deepdraw.features import cache as features_module
from deepdraw.features import encoder as encoder_module
from deepdraw.features.cache import FeatureOptions, cached_features
from deepdraw.features.encoder import Encoder
from deepdraw.features.loader import FeatureLoader
from deepdraw.features.store import ARRAYS, BLOCK, Features, FeatureStore, FeatureWriter
from deepdraw.models.backbones.base import Backbone, LayerGroup
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.classifier import Classifier
from deepdraw.models.freezing import policies as freezing
from deepdraw.runtime.lock import Lock
from deepdraw.runtime.precision import DTYPES, Precision
from deepdraw.training.recipe import Recipe, encodes_once

CPU = torch.device("cpu")
NUM_DRAWINGS = 5 * BLOCK + 60
AUGMENT = Augment(rotation=15, shear=0.1, stretch=0.2, flip=0.5, dropout=0.1, jitter=0.015, line_width=1.4)
RECIPE = Recipe(
    epochs=2,
    limit_steps=None,
    grad_accum=1,
    clip_grad=None,
    label_smoothing=0.0,
    mixup=0.0,
    cutmix=0.0,
    ema=None,
    compile=False,
    activation_checkpointing=False,
    log_every=50,
    checkpoint_every=500,
)


class Grays:
    """A split whose drawings are all of one gray, a little other than the one before."""

    classes = ("dark", "middle", "light")

    def __init__(self, shift: int = 0, fingerprint: str = "grays", seconds: float = 0.0) -> None:
        self.block_sizes = np.array([200, 200, NUM_DRAWINGS - 400])
        self.fingerprint, self._shift, self._seconds = fingerprint, shift, seconds

    def read(self, blocks, rows, rasterizer, images):
        if self._seconds:
            time.sleep(self._seconds)
        starts = np.cumsum(self.block_sizes) - self.block_sizes
        numbers = np.concatenate([np.arange(self.block_sizes[b]) + starts[b] for b in blocks])[rows]
        images[:] = ((3 * numbers + self._shift) % 256)[:, None, None]
        return numbers % 3, numbers.astype(np.uint64)


class Layer(Backbone):
    """One linear layer on the pixels, which counts how many images it saw."""

    def __init__(self, weight: float = 1.0, mean: float = 0.5, std: float = 0.5) -> None:
        super().__init__()
        self.name, self.num_features, self.image_size, self.seen = "layer", 10, 8, 0
        self.mean, self.std = (mean, 0.5, 0.5), (std, 0.5, 0.5)
        self.layer = nn.Linear(192, 10)
        with torch.no_grad():
            self.layer.weight.copy_(weight * torch.linspace(-1, 1, 1920).view(10, 192).sin())

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return self.layer(images.flatten(1))

    def load_pretrained(self) -> None: ...

    def layer_groups(self) -> list[LayerGroup]:
        names = ("embeddings", "block 0", "final layers")
        return [
            LayerGroup(name, *([[self.layer], list(self.layer.parameters())] if "0" in name else [])) for name in names
        ]

    def checkpoint_activations(self) -> None: ...


def build(backbone: Backbone | None = None, freeze=freezing.everything) -> Classifier:
    torch.manual_seed(0)
    backbone = backbone or Layer()
    model = Classifier(backbone, nn.Linear(10, 3))
    freezing.freeze(model, freeze(backbone.layer_groups()))
    return model


def encoding(model: Classifier | None = None, **changes) -> Encoder:
    rasterizer = Rasterizer(8, line_width=1.0)
    encoder = Encoder(
        model or build(), {"name": "layer", "pretrained": "a file"}, rasterizer, Precision("fp32", CPU), 0
    )
    return replace(encoder, **changes)


def cache(folder: Path, split=None, encoder: Encoder | None = None, **options) -> Features:
    chosen = {name: options.pop(name) for name in ("augment", "seed") if name in options}
    options = {"dir": str(folder), "views": None, "dtype": "fp32", **options}
    return cached_features("train", split or Grays(), encoder or encoding(), FeatureOptions(**options), **chosen)


def contents(folder: Path) -> dict[str, bytes]:
    (home,) = folder.iterdir()
    return {file.name: file.read_bytes() for file in home.iterdir()}


def in_another_process(function, *arguments) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    return process


def wait_for_blocks(folder: Path, number: int) -> None:
    end = time.monotonic() + 30
    while sum(file.stat().st_size for file in folder.glob("*.part/checksums")) < 4 * number:
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("dtype", DTYPES)
def test_cached_features_equal_those_of_the_model(tmp_path, dtype):
    model = build()
    cached = cache(tmp_path, encoder=encoding(model), dtype=dtype)
    images = torch.empty(NUM_DRAWINGS, 8, 8, dtype=torch.uint8)
    labels, key_ids = Grays().read(np.arange(3), np.arange(NUM_DRAWINGS), None, images.numpy())
    expected = model.eval().features(images)
    assert cached.features.dtype == DTYPES[dtype]
    torch.testing.assert_close(
        cached.features, expected.to(DTYPES[dtype]), rtol=1e-2 if dtype == "bf16" else 1e-3, atol=1e-4
    )
    assert cached.labels.tolist() == labels.tolist()
    assert cached.key_ids.tolist() == key_ids.tolist()


@pytest.mark.parametrize(("name", "atol"), [("fp32", 1e-4), ("bf16", 5e-2)])
def test_a_convolutional_network_encodes_without_its_batch_norms_and_says_so(tmp_path, capsys, name, atol):
    backbone = TimmBackbone("resnet18", pretrained=False, image_size=32, options={"channels": [4, 8, 8, 10]})
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
    model = build(backbone)
    kept = cache(tmp_path, encoder=encoding(model, rasterizer=Rasterizer(32), precision=Precision(name, CPU)))
    assert capsys.readouterr().out.startswith(
        f"encoding on the CPU in {name}, 16 images at a time, 21 batch norms folded into convolutions\n"
    )
    loader = Loader(Grays(), Rasterizer(32), batch_size=NUM_DRAWINGS, shuffle=False, device=CPU, num_workers=0)
    (batch,) = loader.epoch()
    with torch.no_grad():
        torch.testing.assert_close(kept.features, model.eval().features(batch.inputs), rtol=1e-3, atol=atol)


def test_they_are_computed_once(tmp_path):
    encoder = encoding()
    first, second = cache(tmp_path, encoder=encoder), cache(tmp_path, encoder=encoder)
    assert torch.equal(first.features, second.features)
    assert encoder.model.backbone.seen == NUM_DRAWINGS


def test_a_pass_that_was_killed_goes_on_at_its_block_to_the_same_bytes(tmp_path):
    alone, broken = tmp_path / "alone", tmp_path / "broken"
    cache(alone)
    process = in_another_process(cache, broken, Grays(seconds=0.1))
    wait_for_blocks(broken, 3)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert len(list(broken.glob("*.part"))) == 1, "it was over before it was killed"
    encoder = encoding()
    cache(broken, encoder=encoder)
    assert contents(broken) == contents(alone)
    assert encoder.model.backbone.seen <= NUM_DRAWINGS - 3 * BLOCK


@pytest.mark.parametrize("name", [*ARRAYS, "checksums"])
@pytest.mark.parametrize("harm", ["cut", "garbled", "missing", "longer"])
def test_whatever_the_disk_kept_of_a_broken_pass_the_bytes_are_the_same(tmp_path, name, harm):
    alone, broken = tmp_path / "alone", tmp_path / "broken"
    cache(alone)
    (whole,) = alone.iterdir()
    part = broken / f"{whole.name}.part"
    shutil.copytree(whole, part)
    content = bytearray((part / name).read_bytes())
    middle = len(content) // 2
    if harm == "garbled":
        content[middle] ^= 1
    (part / name).write_bytes({"cut": content[: middle + 1], "longer": content + bytes(99)}.get(harm, content))
    if harm == "missing":
        (part / name).unlink()
    encoder = encoding()
    cache(broken, encoder=encoder)
    assert contents(broken) == contents(alone)
    block = 3 if name == "checksums" else 2  # that of the byte in the middle
    left = {"cut": NUM_DRAWINGS - block * BLOCK, "garbled": NUM_DRAWINGS - block * BLOCK, "longer": 0}
    assert encoder.model.backbone.seen == left.get(harm, NUM_DRAWINGS)


def count(folder: Path, counts) -> None:
    encoder = encoding()
    cache(folder, Grays(seconds=0.05), encoder)
    counts.put(encoder.model.backbone.seen)


def test_of_processes_that_want_the_same_one_computes_and_the_others_wait(tmp_path):
    counts = multiprocessing.get_context("fork").SimpleQueue()
    processes = [in_another_process(count, tmp_path / "features", counts) for _ in range(3)]
    for process in processes:
        process.join(60)
    assert sorted(counts.get() for _ in processes) == [0, 0, NUM_DRAWINGS]


def test_a_line_says_whom_it_waits_for_and_how_far_they_are(tmp_path, capsys, monkeypatch):
    cache(tmp_path)
    (folder,) = tmp_path.iterdir()
    os.rename(folder, f"{folder}.part")
    lock = Lock(tmp_path / f"{folder.name}.lock")
    assert lock.acquire()
    monkeypatch.setattr(features_module.time, "sleep", lambda seconds: lock.release())
    capsys.readouterr()
    cache(tmp_path)
    owner = f"process {os.getpid()} on {os.uname().nodename}"
    assert capsys.readouterr().out == f"waiting for {owner}: 6 of 6 blocks of {folder}\n"


def test_one_that_waits_goes_on_where_the_one_that_computes_dies(tmp_path):
    dying = in_another_process(cache, tmp_path, Grays(seconds=0.1))
    wait_for_blocks(tmp_path, 2)
    counts = multiprocessing.get_context("fork").SimpleQueue()
    waiting = in_another_process(count, tmp_path, counts)
    time.sleep(0.1)
    dying.kill()
    dying.join()
    waiting.join(60)
    assert 0 < counts.get() <= NUM_DRAWINGS - 2 * BLOCK
    encoder = encoding()
    cache(tmp_path, encoder=encoder)
    assert encoder.model.backbone.seen == 0


@pytest.mark.parametrize("name", [*ARRAYS, "checksums"])
def test_a_flipped_bit_is_noticed(tmp_path, capsys, name):
    cache(tmp_path)
    before = contents(tmp_path)
    (file,) = tmp_path.glob(f"*/{name}")
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 64
    file.write_bytes(damaged)
    cache(tmp_path)
    assert "is damaged in block 5 of 6: its features are computed anew" in capsys.readouterr().out
    assert contents(tmp_path) == before


def test_the_key_changes_with_all_that_changes_a_feature(tmp_path, monkeypatch):
    folders = set()

    def is_new(**changes) -> bool:
        cache(tmp_path, **changes)
        new = {folder.name for folder in tmp_path.iterdir()} - folders
        folders.update(new)
        return len(new) == 1

    assert is_new()
    assert not is_new(), "nothing has changed"
    assert not is_new(encoder=encoding(config={"name": "layer", "pretrained": "the same weights in another file"}))
    assert not is_new(encoder=encoding(num_workers=1))
    for config in ({"name": "other"}, {"name": "layer", "pooling": "cls"}, {"name": "layer", "options": {"depth": 3}}):
        assert is_new(encoder=encoding(config=config)), config
    for change in ({"weight": 2.0}, {"mean": 0.4}, {"std": 0.4}):
        assert is_new(encoder=encoding(build(Layer(**change)))), change
    for change in ({"line_width": 1.5}, {"margin": 0.1}, {"polarity": "white_on_black"}):
        assert is_new(encoder=encoding(rasterizer=Rasterizer(8, **{"line_width": 1.0, **change}))), change
    assert is_new(encoder=encoding(precision=Precision("bf16", CPU)))
    assert is_new(dtype="fp16")
    assert is_new(split=Grays(fingerprint="other shards"))
    assert is_new(split=Grays(shift=1)), "drawn in another way"
    for change in ({}, {"augment": replace(AUGMENT, flip=0.0)}, {"views": 3}, {"seed": 1}):
        assert is_new(**{"augment": AUGMENT, "views": 2, **change}), change
    for name in encoder_module.LIBRARIES:
        with monkeypatch.context() as patch:
            patch.setattr(encoder_module, "library_versions", lambda libraries, other=name: {other: "another"})
            assert is_new(), name


def test_each_view_is_what_an_epoch_of_training_sees(tmp_path, polygon_root):
    split, encoder = Shards(str(polygon_root)).split("train"), encoding()
    cached = cache(tmp_path, split, encoder, augment=AUGMENT, seed=7, views=2)
    images = Loader(
        split, encoder.rasterizer, batch_size=32, shuffle=True, device=CPU, augment=AUGMENT, num_workers=0, seed=7
    )
    kept = FeatureLoader(cached, split, batch_size=32, shuffle=True, device=CPU, seed=7)
    assert cached.features.shape == (2, 420, 10)
    assert not torch.equal(cached.features[0], cached.features[1])
    for epoch in (0, 1):
        for of_image, of_feature in zip(images.epoch(epoch), kept.epoch(epoch), strict=True):
            torch.testing.assert_close(of_feature.inputs, encoder.model.features(of_image.inputs), rtol=1e-4, atol=1e-4)
            assert torch.equal(of_feature.key_ids, of_image.key_ids)
    in_epoch = {int(batch.key_ids[0]): batch.inputs[0] for batch in kept.epoch(3)}  # views begin again
    for key_id, features in in_epoch.items():
        assert torch.equal(features, cached.features[1, (cached.key_ids == key_id).nonzero().item()])


@pytest.mark.parametrize("shuffle", [True, False])
def test_their_batches_are_those_of_the_drawings(tmp_path, shuffle):
    split, model = Grays(), build()
    kept = FeatureLoader(cache(tmp_path, split), split, batch_size=50, shuffle=shuffle, device=CPU, seed=3)
    drawn = Loader(split, Rasterizer(8, 1.0), batch_size=50, shuffle=shuffle, device=CPU, num_workers=0, seed=3)
    assert (len(kept), kept.num_drawings, kept.classes) == (len(drawn), drawn.num_drawings, drawn.classes)
    for epoch, first in ((0, 0), (1, 0), (4, 9)):
        for of_feature, of_image in zip(kept.epoch(epoch, first), drawn.epoch(epoch, first), strict=True):
            assert torch.equal(of_feature.labels, of_image.labels)
            assert torch.equal(of_feature.key_ids, of_image.key_ids)
            torch.testing.assert_close(model(of_feature.inputs), model(of_image.inputs))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_training_on_many_does_not_hold_them_in_memory(tmp_path):
    def resident() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    split = Grays()
    split.block_sizes = np.full(200, 512)
    store = FeatureStore(tmp_path / "train", num_drawings=102_400, num_features=512, views=None, dtype=torch.float16)
    block = torch.ones(BLOCK, 512, dtype=torch.float16), torch.zeros(BLOCK, dtype=torch.int64)
    with FeatureWriter(store) as writer:
        for _ in range(store.num_blocks):
            writer.append(*block, block[1])
        writer.finish()
    features = store.open()
    loader = FeatureLoader(features, split, batch_size=128, shuffle=True, device=CPU)
    next(loader.epoch())
    before = resident()
    highest = max(resident() for _ in loader.epoch())
    assert store.num_drawings * sum(store.widths) > 100e6
    assert highest - before < 25e6


@pytest.mark.parametrize(
    ("changes", "options", "augment", "line"),
    [
        ({}, {}, None, "it encodes the drawings once, and training goes on from features/"),
        ({}, {"views": 2}, AUGMENT, "it encodes the drawings once"),
        ({}, {}, AUGMENT, "in every epoch: augment changes them each time; features.views=K would keep K views"),
        ({}, {"dir": None}, None, "in every epoch: features.dir=null"),
        ({"mixup": 0.2}, {}, None, "in every epoch: train.mixup and train.cutmix mix images"),
        ({"cutmix": 1.0}, {}, None, "in every epoch: train.mixup and train.cutmix mix images"),
        ({"limit_steps": 3}, {}, None, "in every epoch: train.limit_steps tries out less than an epoch"),
    ],
)
def test_a_line_says_whether_a_frozen_backbone_encodes_once_and_if_not_why(capsys, changes, options, augment, line):
    chosen = FeatureOptions(**{"dir": "features", "views": None, "dtype": "fp16", **options})
    once = encodes_once(build(), replace(RECIPE, **changes), augment, chosen)
    printed = capsys.readouterr().out
    assert line in printed
    assert printed.count("\n") == 1
    assert once == ("drawings once" in printed)


@pytest.mark.parametrize("freeze", [freezing.nothing, lambda groups: freezing.gradual(groups, 1, None, 2)])
def test_a_backbone_that_trains_or_will_train_encodes_in_every_epoch(capsys, freeze):
    assert not encodes_once(build(freeze=freeze), RECIPE, None, FeatureOptions("features", None, "fp16"))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("name", "value"), [("views", 0), ("views", 1.5), ("dtype", "int8")])
def test_options_that_cannot_be_meant_are_refused(name, value):
    with pytest.raises(ValueError, match=f"features.{name}={value} "):
        FeatureOptions(**{"dir": "features", "views": None, "dtype": "fp16", name: value})


def test_features_too_large_for_their_dtype_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"use features.dtype=bf16 or fp32$"):
        cache(tmp_path, encoder=encoding(build(Layer(weight=1e6))), dtype="fp16")


def test_a_disk_that_refuses_is_one_line_with_the_fix(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot be written \(.*\): set features.dir to another disk, or to null$"):
        cache(tmp_path / "file")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(ValueError, match=r"needs 0.0 GB more, 0.0 GB are free: set features.dir to a larger disk, or"):
        cache(tmp_path / "full")
