"""Typical mistakes: each ends in the one line that docs/mistakes.md says, before anything trains or is written."""

from __future__ import annotations

import importlib
import os
import runpy
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

import deepdraw.evaluation
from deepdraw.config import check_command, compose_config, make
from deepdraw.models import ModelPlan
from deepdraw.models.freezing import freeze
from deepdraw.runtime import ALONE
from deepdraw.training import Recipe

ROOT = Path(__file__).parents[1]
PAGE = runpy.run_path(str(ROOT / "docs/mistakes.py"))
ROWS = PAGE["rows"]()


def reached(*_: object) -> None:
    raise ValueError("the command begins its work")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty directory, from which nothing is trained or evaluated: commands that get so far fail the test."""
    module = types.ModuleType("deepdraw.experiment")
    module.open_experiment = reached  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deepdraw.experiment", module)
    monkeypatch.setattr(deepdraw.evaluation, "Session", reached)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(typed: str, monkeypatch, capsys) -> str:
    """What a command line, run in this process as it is by itself, ends with."""
    _, *words = shlex.split(typed)
    with pytest.raises(SystemExit) as ended:
        if words[0] == "-m":
            if words[1] in ("deepdraw.train", "deepdraw.evaluate"):  # functions of that name, and no modules
                monkeypatch.setattr(sys, "argv", words[1:])
                runpy.run_path(str(ROOT / f"{words[1].replace('.', '/')}.py"), run_name="__main__")
            is_package = (ROOT / words[1].replace(".", "/")).is_dir()
            module = importlib.import_module(f"{words[1]}{'.__main__' if is_package else ''}")
            monkeypatch.setattr(sys, "argv", words[1:])
            module.main(*([] if words[1] == "deepdraw" else [words[2:]]))
        else:
            monkeypatch.setattr(sys, "argv", words)
            runpy.run_path(str(ROOT / words[0]), run_name="__main__")
    assert ended.value.code not in (0, None)
    code = ended.value.code
    return code if isinstance(code, str) else capsys.readouterr().err.strip()


@pytest.mark.parametrize(("typed", "line"), ROWS, ids=[typed for typed, _ in ROWS])
def test_a_mistake_ends_in_the_line_of_the_page(typed, line, here, monkeypatch, capsys):
    said = answer(typed, monkeypatch, capsys)
    assert PAGE["shortened"](said) == f"error: {line}"
    assert list(here.iterdir()) == []


def test_the_page_has_sixty_mistakes_each_with_a_fix_and_no_words_of_hydra():
    assert len(ROWS) >= 60
    for typed, line in ROWS:
        for raw in ("not in struct", "Could not", "append to your", "mismatched", "Traceback", "Exception", "EOF"):
            assert raw not in line, typed


@pytest.mark.parametrize("typed", ["train.py lr=1e-3", "train.py train.epochs=many", "evaluate.py pictures=no ckpt=x"])
def test_the_commands_themselves_end_so_without_torch(typed, tmp_path):
    script, *words = typed.split()
    code = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    watched = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {code}"
    done = subprocess.run(
        [sys.executable, "-c", watched, str(ROOT / script), *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "False\n")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_help_shows_the_options_of_a_directory_of_ones_own_too(tmp_path, monkeypatch, capsys):
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone/mine.yaml").write_text("# A network of mine.\nwidth: 3    # of its layers\n")
    for words in (["--config-dir", str(tmp_path)], [f"--config-dir={tmp_path}"]):
        monkeypatch.setattr(sys, "argv", ["train.py", *words, "--help"])
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        assert "mine, open_clip" in capsys.readouterr().out
        monkeypatch.setattr(sys, "argv", ["train.py", *words, "--help", "backbone", "backbone=mine"])
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        said = capsys.readouterr().out
        assert "A network of mine" in said.partition("\n\n")[0]
        assert "width: 3    # of its layers" in said


ADDED = [  # what may be added: what a class takes, what an interpolation reads, what is Hydra's own
    "+backbone.options.drop_path_rate=0.1",
    "+rate=1e-3 optimizer.lr=${rate}",
    "+data.side=48 backbone.image_size=${data.side}",
    "+hydra.job.env_set.OMP_NUM_THREADS=1",
    "+optimizer.algorithm.eps=1e-6",
]


@pytest.mark.parametrize("words", ADDED)
def test_what_is_read_may_be_added(words, here, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "hydra.run.dir=run", *words.split()])
    with pytest.raises(SystemExit, match="^error: the command begins its work$"):
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


# Experiments beside other choices

CONF = ROOT / "conf"
EXPERIMENTS = sorted(file.stem for file in (CONF / "experiment").glob("*.yaml"))
GROUPS = ("backbone", "freeze", "head", "optimizer", "schedule", "augment", "data", "fit", "precision")
OPTIONS = {group: sorted(file.stem for file in (CONF / group).glob("*.yaml")) for group in GROUPS}

MADE_OF_HALVES = ("fused", "fused_large")  # which choose a backbone for pixels within backbone=fused


def composed(*words: str) -> dict[str, Any]:
    plain = OmegaConf.to_container(compose_config("train", words), resolve=False)
    assert isinstance(plain, dict)
    return plain


def test_an_option_beside_an_experiment_is_the_option_of_its_own_file():
    config = composed("experiment=scratch", "backbone=resnet50", "augment=none")
    plain = composed("backbone=resnet50", "augment=none")
    assert config["backbone"] == plain["backbone"]
    assert config["augment"] == plain["augment"]
    assert config["render"]["line_width"] == plain["render"]["line_width"]
    assert config["optimizer"]["lr"] == 5e-3  # of the experiment, for the optimizer that it chooses
    assert composed("experiment=finetune_small", "freeze=none")["freeze"] == plain["freeze"]


def test_one_line_names_the_settings_of_an_experiment_that_have_no_effect(capsys):
    for _ in range(2):
        check_command(compose_config("train", ["experiment=scratch", "optimizer=sgd", "data.root=x"]), "train")
    assert capsys.readouterr().err == "experiment=scratch: left out, since another option is chosen: optimizer.lr\n"
    check_command(compose_config("train", ["experiment=scratch", "optimizer=muon", "data.root=x"]), "train")
    assert capsys.readouterr().err == ""


def test_what_an_option_sets_for_another_group_holds_beside_an_experiment():
    config = composed("experiment=finetune", "freeze=lora")
    assert config["optimizer"]["backbone_lr"] == 5e-4  # of freeze=lora
    assert config["optimizer"]["lr"] == 1e-3  # of the experiment


def test_an_experiment_with_its_own_options_typed_again_is_the_experiment():
    words = ("backbone=tiny", "optimizer=muon", "augment=sketch", "data=quickdraw", "freeze=none")
    config, again = composed("experiment=scratch"), composed("experiment=scratch", *words)
    for group in (*GROUPS, "render", "train"):
        assert config[group] == again[group]


@pytest.fixture
def later_hydra(monkeypatch) -> None:
    """A Hydra that has its private parts elsewhere."""
    for name in ("config_loader_impl", "utils"):
        monkeypatch.setitem(sys.modules, f"hydra._internal.{name}", None)


def test_a_later_hydra_composes_and_is_refused_only_what_it_would_compose_wrongly(later_hydra):
    check_command(compose_config("train", ["experiment=scratch", "train.epochs=3", "data.root=x"]), "train")
    check_command(compose_config("train", ["experiment=finetune", "freeze=lora", "data.root=x"]), "train")
    mixed = compose_config("train", ["experiment=scratch", "backbone=resnet50", "data.root=x"])
    with pytest.raises(ValueError, match=r"^experiment=scratch sets backbone\.name, .* for backbone=tiny, and Hydra "):
        check_command(mixed, "train")


@pytest.mark.parametrize(("word", "named"), [("lr=1", "'lr'"), ("backbone=clap", "clap"), ("seed=abc", "seed=abc")])
def test_a_later_hydra_ends_mistakes_with_an_error(word, named, later_hydra, here, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", word])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    assert ended.value.code != 0
    assert named in str(ended.value.code) + capsys.readouterr().err


def build(config: DictConfig) -> None:
    """Make all that a training makes before it reads drawings, the network on meta, where it takes no memory."""
    with torch.device("meta"):
        plan = ModelPlan.of(config)
        model = plan.build(num_classes=5)
        freeze(model, make(config.freeze, "freeze", plan.backbone.layer_groups()))
        optimizer = make(config.optimizer, "optimizer", model, _convert_="all", pretrained=True)
        make(config.schedule, "schedule", optimizer, 100)
        make(config.augment, "augment")
        make(config.fit, "fit", _convert_="all").check(model, Recipe(**config.train), ALONE)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_option_of_every_group_is_itself_beside_every_experiment(experiment):
    choices = composed(f"experiment={experiment}")["hydra"]["runtime"]["choices"]
    for number in range(max(map(len, OPTIONS.values()))):
        chosen = {group: options[number % len(options)] for group, options in OPTIONS.items()}
        others = {group: option for group, option in chosen.items() if option != choices[group]}
        if experiment in MADE_OF_HALVES and others.get("backbone", "fused") != "fused":
            with pytest.raises(ValueError, match="leave out one of them"):
                composed(f"experiment={experiment}", f"backbone={others.pop('backbone')}")
        words = [f"{group}={option}" for group, option in others.items()]
        config, alone = composed(f"experiment={experiment}", *words), composed(*words)
        for group in (*others, *(("render", "input") if "backbone" in others else ())):
            assert config[group] == alone[group], words
        try:
            check_command(compose_config("train", [f"experiment={experiment}", *words]), "train")
        except ValueError as error:  # options that do not go together, or that need a value
            assert "\n" not in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_builds_beside_another_network_and_another_freezing(experiment):
    halves = experiment in MADE_OF_HALVES
    for word in ("backbone.pixels.pretrained=false" if halves else "backbone=resnet50", "freeze=none"):
        try:
            build(compose_config("train", [f"experiment={experiment}", word, "data.root=shards"]))
        except ValueError as error:  # options that do not go together
            assert "\n" not in str(error), word
