"""A repository of the hub holds what its classes lend to new ones, so that it is taught where its data are not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import deepdraw
from deepdraw.data.shards import Shards
from deepdraw.export.__main__ import main
from deepdraw.runtime import HUB_CHECKPOINT
from deepdraw.training.checkpoint import load_checkpoint, save_checkpoint
from tests.hub import Repositories, hub

NAME = "someone/polygons"
ADDRESS = f"hf-hub:{NAME}"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repositories]:
    with hub(monkeypatch, tmp_path / "cache") as repositories:
        yield repositories


@pytest.fixture
def upload(server, trained, tmp_path):
    """Export the run to the hub, and return the folder that was uploaded."""

    def run(*words: str) -> Path:
        main([f"ckpt={trained}", "format=hub", f"hub={NAME}", f"out={tmp_path / 'out'}", "drawings=4", *words])
        return tmp_path / "out"

    return run


@pytest.fixture
def new(polygon_root):
    """Three drawings of each class that was not trained on, and others of it."""
    (block,) = split = Shards(str(polygon_root)).split("zeroshot")
    rows = {name: np.flatnonzero(split.labels == number) for number, name in enumerate(split.classes)}
    support = {name: [block.strokes(row) for row in found[:3]] for name, found in rows.items()}
    return support, [block.strokes(row) for found in rows.values() for row in found[3:13]]


def test_it_is_taught_without_its_data_as_it_is_beside_them(upload, trained, new, tmp_path, monkeypatch):
    support, drawings = new
    expected = deepdraw.load(trained).teach(support)
    upload()
    monkeypatch.chdir(tmp_path)  # where its data are not
    taught = deepdraw.load(ADDRESS).teach(support)
    assert taught.classes == expected.classes
    np.testing.assert_allclose(taught.logits(drawings), expected.logits(drawings), rtol=1e-4, atol=1e-3)
    taught.save(tmp_path / "taught.npz")
    again = deepdraw.load(ADDRESS, classes=tmp_path / "taught.npz")
    assert again.predict(drawings) == taught.predict(drawings)


def test_the_card_says_how_it_is_taught(upload):
    assert "recognizer.teach(" in (upload() / "README.md").read_text()


def test_without_what_it_needs_it_says_where_it_would_be_taught(upload, new, tmp_path, monkeypatch, capsys):
    folder = upload("teach=false")
    assert "recognizer.teach(" not in (folder / "README.md").read_text()
    assert "known" not in load_checkpoint(folder / HUB_CHECKPOINT)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="give root=") as refused:
        deepdraw.load(ADDRESS).teach(new[0])
    assert "\n" not in str(refused.value)


def test_too_few_drawings_cost_the_upload_nothing(server, train, capsys, monkeypatch):
    def too_few(*arguments: object) -> None:
        raise ValueError("whitening needs 2 drawings or more of each class trained on")

    monkeypatch.setattr("deepdraw.export.hub_format.learn_known", too_few)
    run = train("train.epochs=1", "train.limit_steps=1")
    main([f"ckpt={run}", "format=hub", f"hub={NAME}", "drawings=4"])
    line = "new classes can be taught to it only beside its data: whitening needs 2 drawings or more"
    assert line in " ".join(capsys.readouterr().out.split())
    assert "known" not in load_checkpoint(run / "exports/best_hub" / HUB_CHECKPOINT)


def changed(known, **columns):
    return {**known, **columns}


STRANGE = {
    "no mapping": lambda known: [1],
    "a part": lambda known: {name: known[name] for name in list(known)[:-1]},
    "more": lambda known: changed(known, more=torch.zeros(1)),
    "a number": lambda known: changed(known, mean=1.0),
    "sparse": lambda known: changed(known, matrix=known["matrix"].to_sparse()),
    "type": lambda known: changed(known, mean=known["mean"].double()),
    "dimensions": lambda known: changed(known, mean=known["mean"][None]),
    "width": lambda known: changed(known, mean=known["mean"][:-1]),
    "classes": lambda known: changed(known, means=known["means"][:-1]),
    "endless": lambda known: changed(known, between=torch.ones(1).expand(1 << 40)),
    "not finite": lambda known: changed(known, offsets=known["offsets"] * float("nan")),
    "below 0": lambda known: changed(known, between=-known["between"]),
    "no drawing": lambda known: changed(known, counts=known["counts"] * 0),
}


def test_what_a_stranger_has_in_its_place_is_refused_in_one_line(upload, server):
    path = upload() / HUB_CHECKPOINT
    content = load_checkpoint(path)
    for number, (kind, make) in enumerate(STRANGE.items()):
        save_checkpoint(path, {**content, "known": make(content["known"])})
        server.commit(f"someone/{number}", {HUB_CHECKPOINT: path.read_bytes()})
        with pytest.raises(
            ValueError, match="what it holds to teach new classes with is not of its network"
        ) as refused:
            deepdraw.load(f"hf-hub:someone/{number}")
        assert "\n" not in str(refused.value), kind


def test_the_page_teaches_a_network_of_the_hub(upload, new, tmp_path, monkeypatch):
    pytest.importorskip("starlette", reason="Starlette, of the extra draw, is absent")
    from deepdraw.draw import Network
    from deepdraw.draw.teaching import Teacher

    upload()
    monkeypatch.chdir(tmp_path)
    network = Network(deepdraw.load(ADDRESS))
    (name, drawings), *_ = new[0].items()
    Teacher(network).teach(name, [json.loads(json.dumps([stroke.T.tolist() for stroke in one])) for one in drawings])
    network.close()
    assert network.recognizer.classes[-1] == name
