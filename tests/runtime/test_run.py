"""The run directory's config, and errors in one line."""

from __future__ import annotations

import copy
import os
import signal
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import MissingMandatoryValue, OmegaConf

from deepdraw.runtime import run
from deepdraw.runtime.run import describe_run, one_line_errors, open_run

CONFIG = {
    "seed": 42,
    "data": {"root": "data/doodles", "batch_size": 128, "num_workers": "auto"},
    "render": {"size": "${image_size}"},
    "image_size": 48,
    "optimizer": {"lr": 0.1, "betas": [0.9, 0.999], "backbone_lr": None},
    "train": {"epochs": 5, "log_every": 50, "checkpoint_every": 500},
    "logger": {"csv": {"_target_": "deepdraw.loggers.CSVLogger"}},
}


def changed(key: str, value) -> dict:
    config = OmegaConf.create(copy.deepcopy(CONFIG))
    OmegaConf.update(config, key, value, merge=False, force_add=True)
    return OmegaConf.to_container(config)


def resolved(config: dict) -> dict:
    return OmegaConf.to_container(OmegaConf.create(config), resolve=True)


def test_the_config_is_resolved_returned_and_written(tmp_path):
    config = open_run(tmp_path, OmegaConf.create(CONFIG), None)
    assert config["render"] == {"size": 48}
    assert type(config["optimizer"]["betas"]) is list
    assert OmegaConf.to_container(OmegaConf.load(tmp_path / "config.yaml")) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.log_every", 1),
        ("train.checkpoint_every", 7),
        ("data.num_workers", 0),
        ("logger", {}),
        ("logger.wandb", {"project": "deepdraw"}),
    ],
)
def test_settings_that_do_not_change_the_result_may_differ(tmp_path, key, value):
    config = open_run(tmp_path, OmegaConf.create(changed(key, value)), resolved(CONFIG))
    assert OmegaConf.to_container(OmegaConf.load(tmp_path / "config.yaml")) == config


@pytest.mark.parametrize(
    ("key", "value", "difference"),
    [
        ("seed", 43, "seed: 42 there, 43 here"),
        ("train.epochs", 6, "train.epochs: 5 there, 6 here"),
        ("image_size", 64, "render.size: 48 there, 64 here; image_size: 48 there, 64 here"),
        ("optimizer.betas", [0.9, 0.95], "optimizer.betas: [0.9, 0.999] there, [0.9, 0.95] here"),
        ("optimizer.momentum", 0.9, "optimizer.momentum: None there, 0.9 here"),
        ("data", {"num_workers": 1}, "data.root: data/doodles there, None here; data.batch_size: 128 there, None here"),
        ("data.root", {"train": 1}, "data.root: data/doodles there, {'train': 1} here"),
        ("train.log_every_epoch", 1, "train.log_every_epoch: None there, 1 here"),  # begins like a free key
    ],
)
def test_settings_that_change_the_result_are_named_and_the_directory_kept(tmp_path, key, value, difference):
    (tmp_path / "config.yaml").write_text("of the former run")
    with pytest.raises(ValueError, match="holds a run of another config") as refused:
        open_run(tmp_path, OmegaConf.create(changed(key, value)), resolved(CONFIG))
    message = str(refused.value)
    assert f"({difference})" in message
    assert message.endswith("repeat its settings to resume it, or choose another hydra.run.dir")
    assert "\n" not in message
    assert (tmp_path / "config.yaml").read_text() == "of the former run"


def test_the_summary_says_what_ran_and_on_what():
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    found = describe_run(OmegaConf.create({"seed": 42}), model)
    assert (found["parameters"], found["trainable_parameters"], found["seed"], found["device"]) == (8, 6, 42, "cpu")
    assert {"python", "deepdraw", "torch", "timm", "numpy"} <= found["versions"].keys()
    assert found["git_commit"] is None or len(found["git_commit"].removesuffix("-dirty")) == 40


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert describe_run(OmegaConf.create({"seed": 42}), torch.nn.Linear(3, 2))["git_commit"] is None


@pytest.fixture
def mode(monkeypatch):
    """Hydra's configuration inside a job; its mode may be changed."""
    job = SimpleNamespace(mode=RunMode.RUN, runtime=SimpleNamespace(output_dir="outputs/run"))
    monkeypatch.setattr(run.HydraConfig, "get", lambda: job)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    return job


def leaving(error: BaseException):
    @one_line_errors
    def main(config):
        raise error

    with pytest.raises(SystemExit) as left:
        main(OmegaConf.create())
    return left.value.code


def wrapped(cause: Exception) -> InstantiationException:
    error = InstantiationException(f"Error in call to target 'x':\n{cause!r}\nfull_key: backbone")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("freeze.n=9 is too many: use 4"),
        FloatingPointError("freeze.n=9 is too many: use 4"),
        wrapped(ValueError("freeze.n=9 is too many: use 4")),
        # as DataLoader hands on what a worker process raised
        ValueError(
            "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
            '  File "x.py", line 1, in <module>\nValueError: freeze.n=9 is too many: use 4\n'
        ),
    ],
)
def test_bad_input_is_one_line(mode, error):
    assert leaving(error) == "error: freeze.n=9 is too many: use 4"


def test_an_option_that_must_be_given_is_named(mode):
    with pytest.raises(MissingMandatoryValue) as missing:
        _ = OmegaConf.create({"freeze": {"n": "???"}}).freeze.n
    assert leaving(missing.value) == "error: freeze.n is missing: give freeze.n=..."


@pytest.mark.parametrize("error", [RuntimeError("a fault"), wrapped(TypeError("no such argument")), KeyError("x")])
def test_faults_of_the_code_keep_their_traceback(mode, error):
    @one_line_errors
    def main(config):
        raise error

    with pytest.raises(type(error)):
        main(OmegaConf.create())


def test_sweeps_and_full_errors_keep_the_traceback(mode, monkeypatch):
    @one_line_errors
    def main(config):
        raise ValueError("bad")

    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="^bad$"):
        main(OmegaConf.create())
    monkeypatch.delenv("HYDRA_FULL_ERROR")
    mode.mode = RunMode.MULTIRUN
    with pytest.raises(ValueError, match="^bad$"):
        main(OmegaConf.create())


def test_ctrl_c_says_how_to_go_on(mode, capsys):
    assert leaving(KeyboardInterrupt()) == 130
    assert "hydra.run.dir=outputs/run goes on from its last checkpoint" in capsys.readouterr().out


def test_a_stopped_job_of_a_sweep_says_how_its_sweep_goes_on(mode, capsys, tmp_path):
    mode.mode, mode.sweep = RunMode.MULTIRUN, SimpleNamespace(dir=str(tmp_path))
    (tmp_path / "sweep.json").touch()
    assert leaving(KeyboardInterrupt()) == 130
    assert f"`python -m deepdraw.sweep resume {tmp_path}` goes on from its last" in capsys.readouterr().out


def test_sigterm_at_any_time_is_answered_as_ctrl_c(mode, capsys):
    @one_line_errors
    def main(config):
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as left:
        main(OmegaConf.create())
    assert left.value.code == 130
    assert "goes on from its last checkpoint" in capsys.readouterr().out


def test_main_keeps_its_name_for_hydra():
    def main(config):
        """Doc."""

    assert (one_line_errors(main).__name__, one_line_errors(main).__doc__) == ("main", "Doc.")


@pytest.mark.parametrize(("may_move", "is_refused"), [(True, False), (False, True)])
def test_data_may_lie_elsewhere_where_their_drawings_are_compared(tmp_path, may_move, is_refused):
    now = OmegaConf.create(changed("data.root", "/another/disk"))
    with pytest.raises(ValueError, match="data.root: data/doodles there") if is_refused else nullcontext():
        open_run(tmp_path, now, resolved(CONFIG), data_may_move=may_move)
    now.data.batch_size = 1
    with pytest.raises(ValueError, match="data.batch_size: 128 there, 1 here"):
        open_run(tmp_path, now, resolved(CONFIG), data_may_move=may_move)


def test_one_place_has_many_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/doodles").mkdir(parents=True)
    for name in ("data/doodles/", "./data/doodles", str(tmp_path / "data/doodles"), "data/../data/doodles"):
        open_run(tmp_path / "run", OmegaConf.create(changed("data.root", name)), resolved(CONFIG))
    open_run(tmp_path / "run", OmegaConf.create({**CONFIG, "device": "cpu"}), {**resolved(CONFIG), "device": "auto"})
