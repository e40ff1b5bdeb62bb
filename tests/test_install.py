"""The installed package, apart from any clone: the command `deepdraw`, its config, its sweeps, its completion."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALLED = ["deepdraw", "hydra_plugins", "conf", "train.py", "evaluate.py", "setup.py", "pyproject.toml", "README.md"]
INSTALLED += ["LICENSE", "MANIFEST.in"]
COMMANDS = ("train", "evaluate", "sweep", "predict", "embed", "draw", "export", "compare", "doctor")
SMALL = ["data=quickdraw", "data.num_workers=0", "data.batch_size=32", "train.limit_steps=1", "features.dir=null"]
SMALL += ["backbone.image_size=32", "backbone.options.channels=[8,8,16,16]"]


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """Where `pip install .` has put the package, without what it depends on."""
    pytest.importorskip("setuptools", "70")
    pytest.importorskip("pip")
    clone, target = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("installed")
    for name in INSTALLED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, clone / name)
    (clone / "conf/local").mkdir(exist_ok=True)
    (clone / "conf/local/default.yaml").write_text("slurm: {account: of_one_cluster}")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--target", str(target), str(clone)], check=True, capture_output=True)
    shutil.rmtree(clone)
    return target


@pytest.fixture
def deepdraw(installed, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed command in a directory of the test's own."""

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(installed),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "100",
            **variables,
        }
        command = [sys.executable, str(installed / "bin/deepdraw"), *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_alone_it_lists_its_commands_a_line_each(deepdraw, words):
    done = deepdraw(*words)
    assert done.returncode == 0
    for command in COMMANDS:
        assert sum(line.startswith(f"  {command} ") for line in done.stdout.splitlines()) == 1


def test_an_unknown_command_gets_one_line(deepdraw):
    done = deepdraw("trian")
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no command 'trian': did you mean train?")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_how_it_is_used(deepdraw, command):
    done = deepdraw(command, "--help")
    assert done.returncode == 0, done.stderr
    other = {"train": "backbone: clip", "evaluate": "protocol: auto"}
    assert other.get(command, f"usage: deepdraw {command}") in done.stdout


def test_what_belongs_to_one_cluster_is_not_installed(installed):
    assert (installed / "deepdraw/scripts/conf/train.yaml").exists()
    assert not (installed / "deepdraw/scripts/conf/local").exists()


def test_it_trains_evaluates_and_refuses_as_the_scripts_do(deepdraw, polygon_root, tmp_path):
    done = deepdraw("train", *SMALL, f"data.root={polygon_root}", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/checkpoints/best.pt").exists()
    done = deepdraw("evaluate", "ckpt=run", "pictures=false", "features.dir=null", "data.num_workers=0")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/evaluations/test.json").exists()
    done = deepdraw("train", "backbone=clap")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no backbone=clap: did you mean clip?")


@pytest.mark.slow
def test_it_sweeps_with_a_copy_of_its_code(deepdraw, polygon_root, tmp_path):
    words = [
        *SMALL,
        f"data.root={polygon_root}",
        "hydra/launcher=local",
        "hydra.sweep.dir=sweep",
        "optimizer.lr=1e-4,1e-3",
    ]
    done = deepdraw("train", "-m", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "sweep/code/train.py").exists()
    done = deepdraw("sweep", "status", "sweep")
    assert done.stdout.splitlines()[-1] == "2 COMPLETED"


def test_the_shell_completes_commands_and_options(deepdraw):
    for line, words in {
        "deepdraw ": set(COMMANDS),
        "deepdraw tra": set(COMMANDS),
        "deepdraw train freeze=fir": {"freeze=first", "freeze=first4", "freeze=first12"},
        "deepdraw evaluate protocol=k": {"protocol=knn"},
        "deepdraw doctor ": set(),
    }.items():
        assert set(deepdraw("-sc", "query=bash", COMP_LINE=line).stdout.split()) == words, line


def test_completion_is_installed_for_the_command(deepdraw):
    script = deepdraw("train", "-sc", "install=bash").stdout
    assert script.splitlines()[-1].endswith("complete -o nospace -o default -F hydra_bash_completion deepdraw")
    assert "-c deepdraw " in deepdraw("train", "-sc", "install=fish").stdout
