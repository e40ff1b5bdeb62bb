"""Cached features are those of the model, as training in every epoch would see them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deepdraw.data.loader import Loader
from deepdraw.data.shards import Shards
from deepdraw.drawings.raster import Rasterizer
from deepdraw.features.cache import FeatureOptions
from deepdraw.features.loader import FeatureLoader
from deepdraw.features.store import BLOCK, FeatureStore, FeatureWriter
from deepdraw.models.backbones.timm import TimmBackbone
from deepdraw.models.freezing import policies as freezing
from deepdraw.runtime.precision import DTYPES, Precision
from deepdraw.training.recipe import encodes_once
from tests.training.features.conftest import (
    AUGMENT,
    CPU,
    NUM_DRAWINGS,
    RECIPE,
    Grays,
    Layer,
    build,
    cache,
    encoding,
)


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
