"""The model benchmark measures what train.py's words mean, from the command to its file of figures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

from benchmarks import model
from benchmarks.__main__ import main
from benchmarks.model import Options
from benchmarks.steps import CONF, build, forward_flops, training_flops
from deepdraw.models.classifier import Classifier

SMALL = "backbone.options.channels=[8,8,16,16] data.batch_size=32"
TINY = (f"overrides={SMALL}", "image_size=32", "batch_size=4", "seconds=0.01", "repeats=1", "device=cpu")
IMAGES = torch.randint(256, (4, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.zeros(4, dtype=torch.long)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure without starting processes, which would take most of the time, at a peak of 1 GFLOP/s."""
    monkeypatch.setattr(model, "in_fresh_process", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(model, "matmul_flops", lambda dtype, device: 1e9)
    monkeypatch.setattr(model, "PER_CLASS", 2)
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cores: None, raising=False)


def tiny(freeze: str = "none", more: str = "") -> Classifier:
    options = Options(freeze=freeze, overrides=f"{SMALL} {more}", image_size=32, device="cpu")
    return build(options.config(), num_classes=7)


def flops_of_layers(network: nn.Module) -> list[float]:
    """For each image and each convolution or linear layer, in the order of their calls: 2 for each weight used."""
    counted: list[float] = []

    def count(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        counted.append(2 * output[0].numel() * layer.weight[0].numel())

    hooks = [
        layer.register_forward_hook(count) for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    network.eval()(IMAGES)
    for hook in hooks:
        hook.remove()
    return counted


def test_flops_are_those_of_the_layers_by_hand():
    network = tiny()
    layers = flops_of_layers(network)
    assert len(layers) > 10
    assert forward_flops(network, IMAGES) == sum(layers)
    # two gradients for each layer, but for the first, whose input are the images
    assert training_flops(network, IMAGES, LABELS) == 3 * sum(layers) - layers[0]


def test_frozen_layers_count_as_what_they_do():
    network = tiny("all")
    *_, head = layers = flops_of_layers(network)
    assert training_flops(network, IMAGES, LABELS) == sum(layers) + head
    first = training_flops(tiny("first", "freeze.n=2"), IMAGES, LABELS)
    assert sum(layers) + head < first < training_flops(tiny("none"), IMAGES, LABELS)


def test_its_words_mean_what_they_mean_to_train_py():
    options = Options(backbone="clip", freeze="first12", precision="bf16", compile=True, overrides="head=mlp seed=7")
    words = ["backbone=clip", "freeze=first12", "precision=bf16", "train.compile=true", "head=mlp", "seed=7"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        expected = compose("train", [*words, "backbone.pretrained=false"])
    assert options.config() == expected


def test_the_command_shows_its_table_and_writes_the_same_figures(in_this_process, tmp_path: Path, capsys):
    main(["model", *TINY, "repeats=2", f"out={tmp_path}"])
    figures = json.loads((tmp_path / "model.json").read_text())
    assert all(len(runs) == 2 for runs in figures["runs"].values())
    loader = figures["loader"]["images_per_second"]
    for name in ("forward", "training"):
        best = figures[name]
        speed = best["images_per_second"]
        assert speed == max(run["images_per_second"] for run in figures["runs"][name])
        assert best["flops_per_second"] == pytest.approx(speed * best["flops_per_image"])
        assert best["share_of_peak"] == pytest.approx(best["flops_per_second"] / 1e9)
        assert best["loader_cores"] - 1 < speed / loader <= best["loader_cores"]
        assert best["peak_bytes"] > 0
    assert figures["peak"]["of"] == "a matmul"
    shown = capsys.readouterr().out
    for text in ("32 px, batch of 4, fp32 on cpu", "of a matmul's 1.0 GFLOP/s", "forward needs", "model.json"):
        assert text in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["backbone=abacus"], "conf has no backbone/abacus: choose clip, clip_base"),
        (["freeze=thaw"], "conf has no freeze/thaw: choose all, biases"),
        (["precision=fp8"], "conf has no precision/fp8: choose auto, bf16, fp16, fp32"),
        (["freeze=first"], "freeze.n is missing: add overrides=freeze.n=..."),
        (["freeze=first12"], "freeze=first freeze.n=12 is not for this backbone of 4 blocks"),
        (["overrides=freeze.rate=1"], "freeze.rate"),
        (["overrides=optimizer.layer_decay=2"], "optimizer.layer_decay=2 must lie in (0, 1]"),
        (["overrides='"], "No closing quotation"),
        (["device=abacus"], "use device=auto or device=cpu"),
        (["batch_size=0"], "batch_size=0 measures nothing: give at least 1"),
        (["seconds=0"], "seconds=0.0 measures nothing: give more than 0"),
        (["image_size=big"], "image_size=big must be a whole number"),
    ],
)
def test_bad_input_is_one_line(in_this_process, arguments: list[str], message: str, tmp_path: Path):
    with pytest.raises(SystemExit) as stopped:
        main(["model", *TINY, f"out={tmp_path}", *arguments])
    assert str(stopped.value).startswith("error: ")
    assert message in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert not (tmp_path / "model.json").exists()
