"""hf-hub:OWNER/NAME in every command: the same as from the run, and of a stranger one line and nothing run."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import deepdraw
from deepdraw.compare.__main__ import main as compare
from deepdraw.draw.__main__ import main as draw
from deepdraw.export.__main__ import main as export
from deepdraw.inference.embed import main as embed
from deepdraw.inference.predict import main as predict
from deepdraw.runtime import HUB_CHECKPOINT
from deepdraw.training.checkpoint import load_checkpoint, save_checkpoint
from tests.hub import Repositories, hub
from tests.refusals import refusal

SQUARE = [[[0, 255, 255, 0, 0], [0, 0, 255, 255, 0]]]
Command = Callable[[str], Any]


class Touch:
    """What a pickle that runs code holds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def server(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repositories]:
    with hub(monkeypatch, tmp_path / "cache") as repositories:
        repositories.commit("someone/network", {HUB_CHECKPOINT: (trained / "checkpoints/best.pt").read_bytes()})
        yield repositories


@pytest.fixture
def commands(server, evaluate, train, polygon_root, tmp_path, monkeypatch, capsys) -> dict[str, Command]:
    """Each command by its name: from a checkpoint to what it gives of it."""
    drawings, count = tmp_path / "drawings.ndjson", iter(range(100))
    drawings.write_text(json.dumps({"word": "square", "key_id": "1", "drawing": SQUARE}) + "\n")

    def new() -> Path:
        return tmp_path / f"out{next(count)}"

    def run_predict(ckpt: str) -> Any:
        predict([f"ckpt={ckpt}", f"input={drawings}"])
        return capsys.readouterr().out

    def run_embed(ckpt: str) -> Any:
        embed([f"ckpt={ckpt}", "data=test", f"out={(out := new())}", f"root={polygon_root}", "num_workers=0"])
        return np.load(out / "features.npy").tolist()

    def run_evaluate(ckpt: str) -> Any:
        evaluate(ckpt, f"out={(out := new())}", f"data.root={polygon_root}")
        return json.loads((out / "evaluations/test.json").read_text())["test/top1"]

    def run_export(ckpt: str) -> Any:
        export([f"ckpt={ckpt}", "format=timm", f"out={(out := new())}", f"data.root={polygon_root}", "drawings=4"])
        return (out / "model.safetensors").read_bytes()

    def run_draw(ckpt: str, key: str = "ckpt", *words: str) -> Any:
        shown: list[Any] = []
        with monkeypatch.context() as patched:
            patched.setattr("deepdraw.draw.make_app", lambda networks, collection: shown.extend(networks))
            patched.setattr("deepdraw.draw.server.PageServer.run", lambda server: None)
            draw([f"{key}={ckpt}", *words])
        answers = [network.guess(SQUARE).result(60) for network in shown]
        for network in shown:
            network.close()
        return answers[-1].names, answers[-1].probabilities

    def run_pretrained(ckpt: str) -> Any:
        run = train(f"backbone.pretrained={ckpt}", "freeze=all", "train.limit_steps=1", run_dir=new())
        weights = load_checkpoint(run / "checkpoints/best.pt")["model"]
        return {name: tensor.tolist() for name, tensor in weights.items() if name.startswith("backbone.")}

    def run_load(ckpt: str) -> Any:
        try:
            return deepdraw.load(ckpt).predict([SQUARE])
        except ValueError as error:
            raise SystemExit(f"error: {error}") from error

    return {
        "load": run_load,
        "predict": run_predict,
        "embed": run_embed,
        "evaluate": run_evaluate,
        "export": run_export,
        "draw": run_draw,
        "draw other": lambda ckpt: run_draw(ckpt, "other", "ckpt=hf-hub:someone/network"),
        "pretrained": run_pretrained,
    }


NAMES = ("load", "predict", "embed", "evaluate", "export", "draw", "draw other", "pretrained")


@pytest.mark.parametrize("name", NAMES)
def test_a_command_gives_of_the_hub_what_it_gives_of_the_run(name, commands, trained):
    assert commands[name]("hf-hub:someone/network") == commands[name](str(trained))


def of_code(best: bytes, made: Path) -> bytes:
    """A checkpoint whose pickle runs code."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(best)) as old, zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as new:
        for member in old.infolist():
            content = old.read(member)
            new.writestr(
                member, pickle.dumps(Touch(made), protocol=2) if member.filename.endswith("data.pkl") else content
            )
    return written.getvalue()


def of_config(best: bytes, folder: Path) -> bytes:
    """A checkpoint whose config names a function of the system."""
    path = folder / "foreign.pt"
    path.write_bytes(best)
    content = load_checkpoint(path)
    content["config"]["head"] = {"_target_": "os.system", "command": f"touch {folder / 'made'}"}
    save_checkpoint(path, content)
    return path.read_bytes()


ADDRESSES = {  # and what is said of them
    "hf-hub:someone/gone": "=hf-hub:someone/gone, or log in by `hf auth login`",
    "hf-hub:someone/empty": f"=hf-hub:someone/empty has no {HUB_CHECKPOINT}",
    "hf-hub:someone/network@v9": "=hf-hub:someone/network@v9, or log in by `hf auth login`",
    "hf-hub:someone/../network": "=hf-hub:someone/../network names no repository",
    "hf-hub:../network": "=hf-hub:../network names no repository",
    "hf-hub:https://127.0.0.1:1/someone/network": "names no repository",
    "hf-hub:127.0.0.1:1/network": "names no repository",
    "hf-hub:": "names no repository",
}
FILES = {
    "code": "damaged or holds code",
    "bare code": "holds code",
    "config": "foreign _target_ 'os.system' for head",
    "page": "",
    "other": "",
    "huge": "more than the 68,719,476,736 that it may have",
}
SAID_OF_WEIGHTS = {  # by the option that reads weights alone
    "code": "pickles more than tensors",
    "bare code": "pickles more than tensors",
    "page": "a website",
    "huge": FILES["huge"],
}


@pytest.mark.parametrize("name", NAMES)
def test_a_stranger_gets_one_line_from_a_command_and_nothing_is_run(name, commands, server, trained, tmp_path):
    best, tensors = (trained / "checkpoints/best.pt").read_bytes(), io.BytesIO()
    torch.save({"weight": torch.zeros(1)}, tensors)
    contents = {
        "code": of_code(best, tmp_path / "made"),
        "bare code": pickle.dumps(Touch(tmp_path / "made"), protocol=2),
        "config": of_config(best, tmp_path),
        "page": b"<!doctype html><title>not found</title>",
        "other": tensors.getvalue(),
    }
    server.commit("someone/empty", {"README.md": b"# nothing"})
    composed = name in ("evaluate", "pretrained")  # which takes a second
    for address, said in list(ADDRESSES.items())[:: 3 if composed else 1]:
        line = refusal(commands[name], address)
        assert said in line
        assert ("backbone.pretrained=" if name == "pretrained" else "ckpt=") in line
    for number, (kind, said) in enumerate(FILES.items()):
        if (name, kind) == ("pretrained", "config"):  # of which the weights alone are read
            continue
        if kind == "huge":
            server.sizes[HUB_CHECKPOINT] = 1 << 40
        server.commit(f"someone/{number}", {HUB_CHECKPOINT: contents.get(kind, best)})
        line = refusal(commands[name], f"hf-hub:someone/{number}")
        assert (SAID_OF_WEIGHTS.get(kind, "") if name == "pretrained" else said) in line
    assert not (tmp_path / "made").exists()
    assert not [place for place in tmp_path.glob("out*") if any(place.rglob("*.pt"))]


def test_compare_says_how_a_checkpoint_of_the_hub_gets_results(server, commands, capsys):
    line = refusal(compare, ["hf-hub:someone/network"])
    assert "`python evaluate.py ckpt=hf-hub:someone/network split=test out=DIR`" in line
