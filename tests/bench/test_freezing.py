"""The freezing benchmark compares what it says, from the command to its file of figures."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import freezing, in_fresh_process
from benchmarks.__main__ import main
from benchmarks.freezing import Options, build, measure
from deepdraw.models.classifier import Classifier
from deepdraw.runtime.options import parse

TINY = ("backbone=vit_tiny_patch16_224", "image_size=32", "blocks=6", "batch_size=2", "steps=1", "repeats=1")


@pytest.fixture
def options() -> Options:
    return parse(Options, TINY)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure without starting processes, which would take most of the time; memory grows by 100 bytes a look."""
    looks = itertools.count(100, 100)
    monkeypatch.setattr(freezing, "in_fresh_process", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(freezing, "peak_memory", lambda device: next(looks))


def below_the_trained_blocks(model: Classifier) -> list[Tensor]:
    """What each of the blocks 0 to 5 gives in a training step, after its backward pass."""
    outputs: list[Tensor] = []
    for block in model.backbone.network.blocks[:6]:
        block.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    model(torch.randint(256, (2, 32, 32), dtype=torch.uint8)).square().sum().backward()
    return outputs


def test_ours_builds_no_graph_below_the_trained_blocks(options: Options):
    model = build(options, "first")
    assert not any(output.requires_grad for output in below_the_trained_blocks(model))
    assert model.backbone.network.patch_embed.proj.weight.grad is None
    assert not any(block.training for block in model.backbone.network.blocks[:6])


def test_the_originals_way_goes_back_through_every_frozen_block_to_the_patches(options: Options):
    model = build(options, "original")
    assert all(output.grad_fn for output in below_the_trained_blocks(model))
    network = model.backbone.network
    for embedding in (network.patch_embed.proj.weight, network.pos_embed, network.cls_token):
        assert embedding.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.blocks[:6].parameters())
    assert all(module.training for module in model.modules())


def test_both_ways_train_the_same_layers_above_the_frozen_blocks(options: Options):
    trained = {
        way: {name for name, parameter in build(options, way).named_parameters() if parameter.requires_grad}
        for way in ("first", "original", "none")
    }
    embeddings = {name for name in trained["none"] if "embed" in name or "token" in name}
    blocks = {name for name in trained["none"] if any(f".blocks.{number}." in name for number in range(6))}
    assert trained["original"] == trained["first"] | embeddings
    assert trained["none"] == trained["original"] | blocks


def test_the_command_shows_its_table_and_writes_the_same_figures(in_this_process, tmp_path: Path, capsys):
    main(["freezing", *TINY, "repeats=2", f"out={tmp_path / 'figures'}"])
    figures = json.loads((tmp_path / "figures" / "freezing.json").read_text())
    assert figures["options"]["backbone"] == "vit_tiny_patch16_224"
    assert figures["machine"]["cores"] >= 1
    assert torch.__version__.startswith(figures["machine"]["versions"]["torch"])
    assert list(figures["ways"]) == ["first", "original", "none"]
    assert all(len(runs) == 2 for runs in figures["runs"].values())
    first, original = figures["ways"]["first"], figures["ways"]["original"]
    assert first["seconds"] == min(seconds for run in figures["runs"]["first"] for seconds in run["seconds"])
    assert (first["step_bytes"], first["total_bytes"], original["total_bytes"]) == (100, 200, 400)  # each way's best
    assert figures["ratio"] == pytest.approx(
        {"seconds": original["seconds"] / first["seconds"], "step_bytes": 1, "total_bytes": 2}
    )
    shown = capsys.readouterr().out
    for text in ("original / first", "2.00x", f"{first['trainable_parameters']:,}", "torch threads", "freezing.json"):
        assert text in shown


@pytest.mark.slow
def test_a_measurement_has_a_process_and_a_peak_to_itself(options: Options):
    assert in_fresh_process(os.getpid) != os.getpid()
    figures = in_fresh_process(measure, options, "original")
    assert figures["total_bytes"] > figures["step_bytes"] >= 0
    assert len(figures["seconds"]) == 1


def test_a_process_that_is_killed_is_one_line():
    with pytest.raises(ValueError, match="killed, perhaps for want of memory"):
        in_fresh_process(os._exit, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["thawing"], "there is no benchmark thawing: choose ablation, data, early, evaluation, folder"),
        (
            ["freezing", "step=1"],
            "unknown option 'step': did you mean steps=...? The options are out, backbone",
        ),
        (["freezing", "steps"], "option steps has no value: write steps=..."),
        (["freezing", "steps=many"], "steps=many must be a whole number"),
        (["freezing", "repeats=0"], "repeats=0 measures nothing: give at least 1"),
        (["freezing", *TINY, "blocks=13"], "vit_tiny_patch16_224 has 12, give at most so many"),
        (["freezing", *TINY, "image_size=33"], "no multiple of the 16 px patch: use 32 or 48"),
        (["freezing", *TINY, "backbone=vit_tiny"], "timm has no model vit_tiny"),
        (["freezing", *TINY, "device=abacus"], "use device=auto or device=cpu"),
        (["freezing", *TINY, "out={file}"], "choose another directory"),
    ],
)
def test_bad_input_is_one_line(in_this_process, arguments: list[str], message: str, tmp_path: Path):
    (tmp_path / "file").touch()
    out = f"out={tmp_path / 'figures'}"
    arguments = [arguments[0], out, *(argument.format(file=tmp_path / "file") for argument in arguments[1:])]
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert str(stopped.value).startswith("error: ")
    assert message in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert not (tmp_path / "figures" / "freezing.json").exists()


@pytest.mark.parametrize(("arguments", "text"), [([], "BENCHMARK"), (["freezing", "--help"], "batch_size=")])
def test_help_names_every_benchmark_and_option(arguments: list[str], text: str, capsys):
    main(arguments)
    assert text in capsys.readouterr().out
