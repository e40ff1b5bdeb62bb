"""The commands: quick to answer, light in what they import, and bad input gets one line and loses nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.refusals import refusal

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "torchvision", "timm", "open_clip", "webdataset", "wandb", "matplotlib", "cv2", "numpy", "requests"}
HEAVY |= {"numba"}

# Runs a script as the command line does and says which modules it had imported when it ended.
IMPORTED = """
import atexit, runpy, sys
script, sys.argv = sys.argv[1], sys.argv[1:]
atexit.register(lambda: print("IMPORTED", *{name.partition(".")[0] for name in sys.modules}))
runpy.run_path(script, run_name="__main__")
"""


def imported(*command: str) -> tuple[set[str], str]:
    """The packages that a command imports, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed, _, names = done.stdout.rpartition("IMPORTED ")
    return set(names.split()), printed


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["train.py", "--help"], "backbone: clip, clip_base"),
        (["train.py", "--cfg", "job"], "label_smoothing: 0.1"),
        (["evaluate.py", "--help"], "protocol: auto, classifier"),
        (["deepdraw/inference/predict.py", "--help"], "  input=        an image, a folder"),
        (["deepdraw/inference/embed.py", "--help"], "  data=         train, val"),
        (["deepdraw/export/__main__.py", "--help"], "format: onnx"),
    ],
    ids=" ".join,
)
def test_help_and_printed_configs_import_nothing_heavy(command, answer):
    packages, printed = imported(*command)
    assert answer in printed
    assert packages & HEAVY == set()


MODULES = ("sweep", "predict", "embed", "draw", "export", "compare", "doctor", "data.quickdraw")


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_how_it_is_used_as_it_was_called(name):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", f"deepdraw.{name}", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: python -m deepdraw.{name}")


@pytest.mark.slow
def test_a_timm_backbone_never_imports_open_clip(polygon_root, tmp_path):
    packages, _ = imported(
        "train.py",
        "data=quickdraw",
        f"data.root={polygon_root}",
        "data.num_workers=0",
        "data.batch_size=8",
        "backbone=timm",
        "backbone.name=test_resnet",
        "backbone.pretrained=false",
        "backbone.image_size=32",
        "train.limit_steps=1",
        f"hydra.run.dir={tmp_path}",
    )
    assert "timm" in packages
    assert "open_clip" not in packages


def snapshot(run: Path) -> dict[Path, bytes]:
    """All files of a run but Hydra's own."""
    return {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and ".hydra" not in file.parts}


@pytest.fixture
def shards(polygon_root, tmp_path) -> Path:
    """A copy of the polygons, to be damaged."""
    return shutil.copytree(polygon_root, tmp_path / "shards")


def cut(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])


def flip(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "what"), [(cut, "bytes: "), (flip, "does not match its checksum"), (Path.unlink, "is missing: ")]
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_damaged_shard_is_refused_and_the_former_run_kept(train, shards, harm, what, split):
    run = train(f"data.root={shards}", "train.epochs=1")
    before = snapshot(run)
    harm(shards / f"{split}-00000.tar")
    message = refusal(train, f"data.root={shards}", "train.epochs=1")
    assert f"{shards}/{split}-00000.tar" in message
    assert what in message
    assert "write the shards again, or fetch" in message
    assert snapshot(run) == before


def test_shards_that_are_not_there_are_refused_with_the_command_that_writes_them(train, tmp_path):
    message = refusal(train, f"data.root={tmp_path / 'none'}")
    assert f"write them with `python -m deepdraw.data.quickdraw root={tmp_path / 'none'}`" in message


@pytest.fixture
def untouched(monkeypatch):
    """Fails where drawings are opened, whose index alone says that they are there, or weights are read."""

    def touch(*arguments, **options):
        pytest.fail("read before it was refused")

    monkeypatch.setattr("deepdraw.data.shards.Shards.split", touch)
    monkeypatch.setattr("deepdraw.models.backbones.timm.TimmBackbone.load_pretrained", touch)
    monkeypatch.setattr("deepdraw.models.backbones.timm.read_weights", touch)


@pytest.mark.parametrize(
    ("overrides", "fix"),
    [
        (
            ["freeze=first12", "backbone.pretrained=weights.pth"],
            "use freeze=all, or freeze=first freeze.n=K with K <= 4",
        ),
        (["freeze=first", "freeze.n=9"], "freeze.n=K with K <= 4"),
        (["freeze=last", "freeze.n=9"], "freeze.n=K with K <= 4"),
        (["freeze=blocks", "freeze.blocks=[0,7]"], "this backbone has blocks 0 to 3"),
        (["freeze=first"], "freeze.n is missing: give freeze.n=..."),
        (["backbone.name=resnet10"], "did you mean"),
        (["train.epochs=0"], "train.epochs=0 must be"),
        (["train.epochs=2.5"], "train.epochs=2.5 must be"),
        (["train.grad_accum=none"], "train.grad_accum=none must be"),
        (["train.clip_grad=0"], "train.clip_grad=0 must be"),
        (["train.label_smoothing=1"], "must lie in [0, 1)"),
        (["precision.name=fp8"], "choose auto, bf16, fp16 or fp32"),
        (["device=cuda:99"], "use device=auto or device=cpu"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_impossible_settings_are_refused_before_data_are_opened_or_weights_read(train, untouched, overrides, fix):
    assert fix in refusal(train, *overrides)


@pytest.mark.parametrize(
    ("overrides", "fix"),
    [
        (
            ["data.batch_size=1000"],
            "the split holds 420 drawings, too few for a step of 1000: choose a smaller data.batch_size",
        ),
        (["data.batch_size=0"], "data.batch_size=0 makes no step: give at least 1 drawing"),
        (["optimizer.lr=-1"], "optimizer.lr=-1 must be a number from 0 on"),
        (["train.grad_accum=50"], "train.grad_accum=50"),
        (["schedule.warmup=5"], "schedule.warmup=5 must lie in [0, 1)"),
        (["schedule=onecycle", "schedule.warmup=1"], "schedule.warmup=1 must lie in [0, 1)"),
        (["head=mlp", "head.norm=group"], "use one of layer, batch, none"),
        (["backbone.pretrained=weights.pth"], "no weights file weights.pth: correct the path in backbone.pretrained"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_settings_that_do_not_fit_the_data_are_refused(train, overrides, fix):
    assert fix in refusal(train, *overrides)


def test_pretrained_weights_without_a_network_are_refused(train, monkeypatch, tmp_path):
    monkeypatch.setattr("deepdraw.runtime.hub._answers", lambda url: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    message = refusal(train, "backbone=timm", "backbone.name=test_resnet", "backbone.pretrained=true")
    assert "cannot download timm's weights of test_resnet" in message
    assert "use backbone.pretrained=FILE with weights on disk, or backbone.pretrained=false" in message


def test_a_misspelt_key_gets_the_nearest_one_in_one_line(train):
    assert "did you mean train.epochs=3?" in refusal(train, "train.epoch=3")


def test_a_misspelt_choice_gets_hydras_list_in_one_line(train):
    assert "did you mean first4? Choose one of all, biases" in refusal(train, "freeze=frist4")


def image_tars(root: Path, labels: list[str], image: bytes | None = None) -> Path:
    """Image shards as the original project has them, the same for train and test."""
    if image is None:
        image = cv2.imencode(".png", np.full((8, 8), 200, np.uint8))[1].tobytes()
    for folder in ("train", "test"):
        (root / folder).mkdir(parents=True)
        with tarfile.open(root / folder / "data-00000.tar", "w") as tar:
            for number, label in enumerate(labels):
                for name, content in ((f"{number:04}.cls", label.encode()), (f"{number:04}.png", image)):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return root


@pytest.fixture
def train_tars(train, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "tars"

    def run(*overrides: str) -> Path:
        return train("data=tars", f"data.root={root}", "data.batch_size=8", "train.epochs=1", *overrides)

    return run


def test_an_unknown_label_is_refused_with_its_tar_and_member(train_tars, tmp_path):
    image_tars(tmp_path / "tars", ["circle", "square"] * 40 + ["cirlce"])
    (tmp_path / "tars/classes.txt").write_text("circle\nsquare\n")
    message = refusal(train_tars)
    for part in ("data-00000.tar", "0080", "unknown label 'cirlce'", "did you mean 'circle'?"):
        assert part in message


def test_an_image_that_does_not_decode_is_refused(train_tars, tmp_path):
    image_tars(tmp_path / "tars", ["circle", "square"] * 80, b"\x89PNG no image")
    assert "does not decode: fetch the tar anew or repack it without" in refusal(train_tars)


def damage_an_image(tar: Path, old: bytes, new: bytes) -> None:
    """Write `new` over the beginning of an image in the middle of a tar, in place of `old`."""
    content = tar.read_bytes()
    place = content.index(old, len(content) // 2)
    tar.write_bytes(content[:place] + new + content[place + len(new) :])


def test_a_broken_image_of_test_is_found_before_the_first_step(train_tars, tmp_path):
    root = image_tars(tmp_path / "tars", ["circle", "square"] * 80)
    damage_an_image(root / "test/data-00000.tar", b"\x89PNG", b"none")
    message = refusal(train_tars)
    assert str(root / "test/data-00000.tar") in message
    assert message.endswith("does not decode: fetch the tar anew or repack it without")
    assert not (tmp_path / "run").exists()


def test_a_broken_image_that_is_met_after_training_costs_no_result(train_tars, evaluate, monkeypatch, tmp_path):
    monkeypatch.setattr("deepdraw.training_data.TRIED", 0)  # as in a split of very many images
    root = image_tars(tmp_path / "tars", ["circle", "square"] * 80)
    damage_an_image(root / "test/data-00000.tar", b"\x89PNG", b"none")
    best = tmp_path / "run/checkpoints/best.pt"
    message = refusal(train_tars)
    assert str(root / "test/data-00000.tar") in message
    assert message.endswith(f"the training is done and kept, and python evaluate.py ckpt={best} tests it")
    damage_an_image(root / "test/data-00000.tar", b"none", b"\x89PNG")
    evaluate(best)
    assert json.loads((tmp_path / "run/evaluations/test.json").read_text())["test/drawings"] == 160


@pytest.mark.slow
def test_bad_input_that_a_worker_meets_is_one_line_too_and_ends_the_command(tmp_path):
    root = image_tars(tmp_path / "tars", ["circle", "square"] * 80, b"\x89PNG no image")
    done = subprocess.run(
        [
            *(sys.executable, "train.py", f"hydra.run.dir={tmp_path / 'run'}"),
            *("data=tars", f"data.root={root}", "data.batch_size=8", "data.num_workers=1"),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith("does not decode: fetch the tar anew or repack it without")


def test_a_truncated_image_tar_is_refused(train_tars, tmp_path):
    root = image_tars(tmp_path / "tars", ["circle", "square"] * 40)
    cut(root / "train/data-00000.tar")
    assert "train/data-00000.tar" in refusal(train_tars)


def test_a_run_without_a_logger_ends_well(train):
    run = train("logger=[]", "train.epochs=1", plots=True)
    assert (run / "summary.json").exists()
    assert (run / "plots/drawings.png").exists()
    assert not (run / "metrics.csv").exists()
