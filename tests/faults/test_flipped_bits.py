"""No single flipped bit is used in silence: of checkpoints, weights, predictions and cached features."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from deepdraw.evaluation.predictions import Predictions
from deepdraw.features.store import ARRAYS, BLOCK, FeatureStore, FeatureWriter
from deepdraw.models.backbones.weights import read_weights
from deepdraw.training.checkpoint import load_checkpoint, save_checkpoint

FLIPS = 250  # of each kind
Files = list[tuple[Path, Callable[[], bool]]]  # each with whether what it holds was refused


def refused(read: Callable[[], object]) -> Callable[[], bool]:
    def call() -> bool:
        try:
            read()
        except ValueError:
            return True
        return False

    return call


def checkpoints(folder: Path) -> Files:
    model = torch.nn.Linear(20, 8)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 20)).sum().backward()
    optimizer.step()
    about = {"config": {"seed": 42, "head": {"bias": True}}, "classes": ["cat", "dog"], "model": model.state_dict()}
    own = {
        "best.pt": {"best": {"val/top1": 0.5}},
        "last.pt": {"optimizer": optimizer.state_dict(), "best": {}},
        "heads.pt": {"rows": [{"lr": 0.1, "val/top1": 0.5}]},
    }
    for name, content in own.items():
        save_checkpoint(folder / name, about | content)
    return [(folder / name, refused(lambda name=name: load_checkpoint(folder / name))) for name in own]


def predictions(folder: Path) -> Files:
    file, rows = folder / "test.predictions.npz", np.arange(50)
    labels = (rows % 2).astype(np.uint16)
    ranks = np.zeros(50, np.uint16)
    Predictions(["cat", "dog"], rows.astype(np.uint64), labels, labels, np.full(50, 0.75, np.float32), ranks).save(file)
    return [(file, refused(lambda: Predictions.load(file)))]


def weights(folder: Path) -> Files:
    state = {"weight": torch.randn(20, 8), "bias": torch.randn(8)}
    torch.save(state, folder / "weights.pt")
    save_file(state, folder / "weights.safetensors")
    content = (folder / "weights.safetensors").read_bytes()
    digest = sha256(content).hexdigest()
    hashed = folder / f"weights-{digest[:8]}.safetensors"
    hashed.write_bytes(content)
    blob = folder / "blobs" / digest  # as the hub's cache has it
    blob.parent.mkdir()
    blob.write_bytes(content)
    snapshot = folder / "model.safetensors"
    snapshot.symlink_to(blob)
    files = [(hashed, hashed), (blob, snapshot)]
    return [(file, refused(lambda read=read: read_weights(str(read)))) for file, read in files]


def features(folder: Path) -> Files:
    store = FeatureStore(folder / "train", 2 * BLOCK + 5, 3, None, torch.float16, metadata='{"weights": "0aa0"}')
    with FeatureWriter(store) as writer:
        for size in (BLOCK, BLOCK, 5):
            writer.append(torch.rand(size, 3).half(), torch.arange(size), torch.arange(size))
        writer.finish()
    names = (*ARRAYS, "checksums", "about.json")
    return [(store.folder / name, lambda: store.open() is None) for name in names]


def flips(files: Files) -> Iterator[tuple[Path, int, bool]]:
    """A bit of a file that is flipped while it is read: which, and whether that was noticed."""
    chosen = random.Random(0)
    for number in range(FLIPS):
        file, noticed = files[number % len(files)]
        content = file.read_bytes()
        place = chosen.randrange(8 * len(content))
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        yield file, place, noticed()
        file.write_bytes(content)


@pytest.mark.parametrize("write", [checkpoints, predictions, weights, features])
def test_every_flipped_bit_is_noticed(tmp_path, write):
    torch.manual_seed(0)
    files = write(tmp_path)
    assert not any(refuses() for _, refuses in files)
    missed = [f"bit {place} of {file.name}" for file, place, noticed in flips(files) if not noticed]
    assert missed == []
    assert not any(refuses() for _, refuses in files)


def test_a_zip_of_another_tool_is_held_to_the_checksums_of_its_members(tmp_path):
    file = tmp_path / "weights.pt"
    torch.save({"weight": torch.arange(1000.0)}, file)
    content = file.read_bytes()
    start = content.index(torch.arange(1000.0).numpy().tobytes())
    for place in range(start, start + 4000, 97):
        damaged = bytearray(content)
        damaged[place] ^= 16
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            read_weights(str(file))


@pytest.mark.parametrize("extra", [1, 4, 5000])
@pytest.mark.parametrize("name", [*ARRAYS, "checksums", "about.json"])
def test_features_of_another_size_are_no_features(tmp_path, name, extra):
    (file, noticed) = next(pair for pair in features(tmp_path) if pair[0].name == name)
    content = file.read_bytes()
    for changed in (content + bytes(extra), content[:-extra]):
        file.write_bytes(changed)
        assert noticed()


def test_weights_that_are_no_numbers_are_refused():
    from deepdraw.models.backbones.weights import load_weights

    network = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"^x.pt holds numbers in bias that are not finite"):
        load_weights(network, {**network.state_dict(), "bias": torch.tensor([0, float("nan")])}, file="x.pt", name="x")


@pytest.mark.parametrize("name", ["sketches-20240101.pt", "model-v2.pt", "abcdef12.pt"])
def test_a_name_that_only_looks_like_a_hash_is_none(tmp_path, name):
    torch.save({"weight": torch.ones(3)}, tmp_path / name)
    assert list(read_weights(str(tmp_path / name))) == ["weight"]
