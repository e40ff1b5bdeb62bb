"""A stranger's checkpoint: nothing that it names is run, fetched or written, by whichever command it is used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import deepdraw
from deepdraw.inference.trained import rebuild
from deepdraw.training.checkpoint import load_checkpoint, save_checkpoint

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_callable_is_refused_in_every_place_but_where_conf_offers_it(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/training/walk.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    tried, names = found.pop("tried"), found.pop("names")
    print(f"{tried:,} configs tried, with {names:,} names")
    assert found == {"wrong": [], "happened": [], "refused": [], "admitted": []}
    assert names > 2_000
    assert tried > 100_000
    assert list(tmp_path.iterdir()) == []


def changed(best: Path, place: str, node: Any) -> Path:
    """The checkpoint with another value in a dotted place of its config."""
    content = load_checkpoint(best)
    *parents, last = place.split(".")
    part = content["config"]
    for key in parents:
        part = part.setdefault(key, {})
    part[last] = node
    save_checkpoint(best, content)
    return best


def files(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if file.is_file()}


HOSTILE = {
    "a command": ("head", {"_target_": "deepdraw.sweep.slurm._ask", "_args_": ["touch", "made"]}),
    "predict": (
        "head",
        {"_target_": "deepdraw.inference.predict.main", "arguments": ["ckpt=x", "input=y", "output=made"]},
    ),
    "embed": ("backbone", {"_target_": "deepdraw.inference.embed.main", "arguments": ["ckpt=x", "output=made"]}),
    "quickdraw": ("data.source", {"_target_": "deepdraw.data.quickdraw.__main__.main", "arguments": ["root=made"]}),
    "a copy": ("head", {"_target_": "deepdraw.sweep.snapshot.copy_code", "directory": "made"}),
    "a writer": ("freeze", {"_target_": "deepdraw.runtime.write_text", "path": "made", "text": ""}),
    "a logger": ("logger.csv", {"_target_": "deepdraw.sweep.slurm._ask", "_args_": ["touch", "made"]}),
    "an optimizer": ("optimizer.algorithm", {"_target_": "subprocess.run", "args": ["touch", "made"]}),
    "rendering": ("render", {"_target_": "deepdraw.sweep.slurm._ask", "_args_": ["touch", "made"]}),
    "an option": ("backbone.options.act_layer", {"_target_": "os.mkdir", "path": "made"}),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_a_checkpoint_names_is_refused_by_evaluate_and_load(trained, evaluate, tmp_path, monkeypatch, case):
    best = changed(trained / "checkpoints/best.pt", *HOSTILE[case])
    monkeypatch.chdir(tmp_path)
    before = files(tmp_path)
    with pytest.raises(SystemExit, match=r"^error: .*best\.pt: its config [^\n]*$"):
        evaluate(best)
    with pytest.raises(ValueError, match=r"best\.pt: its config [^\n]*$"):
        deepdraw.load(best)
    if case != "a writer":  # where training takes functions, trust admits one, which is not called
        with pytest.raises(ValueError, match=r"best\.pt: its config [^\n]*$"):
            deepdraw.load(best, trust=["deepdraw", "subprocess", "os"])
    else:
        deepdraw.load(best, trust=["deepdraw"])
    assert files(tmp_path) == before
    assert not (tmp_path / "made").exists()


def test_the_loggers_of_a_checkpoint_are_not_started(trained, evaluate, tmp_path, monkeypatch):
    logger = {"_target_": "deepdraw.loggers.TensorBoardLogger", "_partial_": True}
    best = changed(trained / "checkpoints/best.pt", "logger", {"tensorboard": logger})
    evaluate(best)
    assert not (trained / "tensorboard").exists()
    evaluate(best, "logger=[tensorboard]")
    assert (trained / "tensorboard").exists()


def test_doodles_are_drawn_only_where_the_command_says(trained, evaluate, tmp_path):
    source = {
        "_target_": "deepdraw.data.doodles.open_doodles",
        "root": str(tmp_path / "made"),
        "per_class": 1,
        "seed": 0,
    }
    best = changed(trained / "checkpoints/best.pt", "data", {"root": source["root"], "source": source})
    with pytest.raises(SystemExit, match=r"the doodles are not in .*made any more: give data\.root=\.\.\."):
        evaluate(best)
    assert not (tmp_path / "made").exists()
    rebuild(best, root=source["root"]).source()
    assert (tmp_path / "made/index.json").exists()
    rebuild(best).source()


@pytest.mark.parametrize("root", ["pipe:touch {made} #/train/x.tar", "http://127.0.0.1:9/train/x.tar"])
def test_an_address_in_a_checkpoint_is_not_fetched(trained, evaluate, tmp_path, monkeypatch, root):
    monkeypatch.setenv("DEEPDRAW_PIPES", "1")
    monkeypatch.setattr("urllib.request.urlopen", lambda *arguments, **options: pytest.fail("fetched"))
    root = root.format(made=tmp_path / "made")
    source = {"_target_": "deepdraw.data.tars.ImageTars", "root": root}
    best = changed(trained / "checkpoints/best.pt", "data", {"root": root, "source": source})
    with pytest.raises(SystemExit, match=r"a checkpoint has nothing fetched: if you trust the address .* data\.root="):
        evaluate(best)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("render.size", "big", "render.size=big must be a whole number"),
        ("render.zzz", 1, "render.zzz is unknown"),
        ("head.zzz", 1, "head.zzz is unknown"),
        ("backbone.name", ["resnet10t"], "backbone.name=.* must be a text"),
        ("backbone.options", {"checkpoint_path": "/dev/zero"}, "would read weights past deepdraw"),
        ("backbone.options", {"pretrained": True}, "timm cannot build"),
        ("backbone.name", "hf-hub:someone/model", "timm has no model"),
        ("backbone.name", "local-dir:/tmp", "timm has no model"),
        ("backbone.pretrained", {"path": "x"}, "backbone.pretrained=.* must be true or false or a text"),
        ("backbone", None, "its config has no backbone"),
        ("head", {}, "its config has no head._target_"),
        ("data", {}, "its config has no data.source"),
        ("render", [], "its config has no render"),
    ],
)
def test_arguments_are_of_the_types_that_the_class_takes(trained, place, value, message):
    best = changed(trained / "checkpoints/best.pt", place, value)
    with pytest.raises(ValueError, match=message) as refused:
        deepdraw.load(best)
    assert "\n" not in str(refused.value)
    assert str(best) in str(refused.value)


@pytest.mark.parametrize("pretrained", ["/dev/zero", "http://127.0.0.1:9/weights.pth", True])
def test_no_pretrained_weights_are_read_where_those_of_the_checkpoint_are(trained, monkeypatch, pretrained):
    monkeypatch.setattr("deepdraw.models.backbones.timm.read_weights", lambda file: pytest.fail("read"))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *arguments, **options: pytest.fail("fetched"))
    best = changed(trained / "checkpoints/best.pt", "backbone.pretrained", pretrained)
    changed(best, "backbone.name", "resnet18")
    with pytest.raises(ValueError, match="its weights do not fit"):  # it was built, without weights
        deepdraw.load(best)


OURS = "from deepdraw.models.heads import Linear\n\n\nclass Own(Linear):\n    pass\n"


def test_evaluate_builds_what_it_was_told_to_trust(trained, evaluate, tmp_path, monkeypatch):
    (tmp_path / "own_heads.py").write_text(OURS)
    monkeypatch.syspath_prepend(tmp_path)
    best = changed(trained / "checkpoints/best.pt", "head", {"_target_": "own_heads.Own"})
    with pytest.raises(SystemExit, match=r"add trust=\[own_heads\]$"):
        evaluate(best)
    assert "own_heads" not in sys.modules
    evaluate(best, "trust=[own_heads]")
    found = json.loads((trained / "evaluations/test.json").read_text())
    assert found["test/top1"] == json.loads((trained / "summary.json").read_text())["test/top1"]
