"""Training and evaluation from Python: more than once in a process, and as docs/python.md and the notebook say."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import deepdraw

ROOT = Path(__file__).parents[1]
SMALL = ["data=quickdraw", "data.num_workers=0", "data.batch_size=32", "train.epochs=1", "precision=fp32"]
SMALL += ["backbone.image_size=32", "backbone.options.channels=[8,8,16,16]", "features.dir=null"]
UNSHOWN = ["data.num_workers=0", "features.dir=null", "pictures=false"]


@pytest.fixture
def small(polygon_root, monkeypatch, tmp_path) -> list[str]:
    """Overrides of a training of a second; runs go below the test's own directory."""
    monkeypatch.chdir(tmp_path)
    for plot in ("curves.plot_curves", "sheets.plot_sheet"):
        monkeypatch.setattr(f"deepdraw.report.{plot}", lambda *arguments: None)
    return [*SMALL, f"data.root={polygon_root}"]


def weights(run: deepdraw.Run) -> dict[str, torch.Tensor]:
    return torch.load(run.checkpoint, weights_only=True)["model"]


def outcome(run: deepdraw.Run) -> dict[str, float]:
    return {name: value for name, value in run.metrics.items() if not name.endswith("per_second")}


def process_state() -> tuple:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)]
    return handlers, sys.excepthook, torch.get_num_threads(), GlobalHydra.instance().is_initialized()


def random_numbers() -> list[float]:
    """The next number of each generator, which are left as they are."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    numbers = [random.random(), np.random.random(), torch.rand(1).item()]
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    return numbers


def test_the_same_training_twice_in_a_process_gives_the_same_bits_and_leaves_nothing_behind(small, tmp_path):
    before = process_state()
    first = deepdraw.train(small, directory=tmp_path / "a=1, b")
    deepdraw.evaluate(first, "zeroshot", UNSHOWN)
    torch.rand(5)
    second = deepdraw.train([*small, f"hydra.run.dir={tmp_path / 'second'}"])
    assert second.directory == tmp_path / "second"
    assert weights(first).keys() == weights(second).keys()
    assert all(torch.equal(tensor, weights(second)[name]) for name, tensor in weights(first).items())
    assert outcome(first) == outcome(second) != {}
    assert process_state() == before
    assert not HydraConfig.initialized()


def test_the_random_numbers_of_the_caller_are_left_alone(small, trained, tmp_path):
    torch.manual_seed(1), np.random.seed(2), random.seed(3)
    before = random_numbers()
    deepdraw.train(small, directory=tmp_path / "first")
    assert random_numbers() == before
    deepdraw.evaluate(trained, "zeroshot", UNSHOWN)
    assert random_numbers() == before
    deepdraw.load(trained).predict([[[[0, 255, 255], [0, 0, 255]]]])
    assert random_numbers() == before
    with pytest.raises(ValueError, match="train.ema=2"):
        deepdraw.train([*small, "train.ema=2"], directory=tmp_path / "other")
    assert random_numbers() == before


RANKS = """
import os, sys
import deepdraw
runs = [deepdraw.train(sys.argv[1:], directory=f"run{number}") for number in range(2)]
try:
    deepdraw.train([*sys.argv[1:], "train.ema=2"], directory="refused")
except ValueError as error:
    assert "train.ema=2" in str(error)
runs.append(deepdraw.train([*sys.argv[1:], "seed=5"]))
assert all("test/top1" in run.metrics for run in runs)
assert runs[0].metrics["test/loss"] == runs[1].metrics["test/loss"] != runs[2].metrics["test/loss"]
sys.stderr.write(f"directory {os.environ['RANK']} {runs[2].directory.absolute()}\\n")  # whole, beside the other rank's
if os.environ["RANK"] == "0":
    deepdraw.evaluate(runs[0], "zeroshot", ["data.num_workers=0", "features.dir=null", "pictures=false"])
else:
    try:
        deepdraw.evaluate(runs[0])
    except ValueError as error:
        print(error, file=sys.stderr)
"""


@pytest.mark.slow
def test_ranks_of_torchrun_train_several_times_together(small, tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    done = subprocess.run(
        [*command, f"--master-port={port}", str(script), *small],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    directories = dict(re.findall(r"directory (\d) (\S+)", done.stderr))
    assert directories["0"] == directories["1"]
    assert (Path(directories["0"]) / "summary.json").exists()
    assert "an evaluation is the work of one process" in done.stderr


def test_it_trains_as_the_command_does(small, train, tmp_path):
    by_command = train(*(override for override in small if not override.startswith("features.dir")))
    run = deepdraw.train(small, directory=tmp_path / "called")
    assert all(torch.equal(tensor, weights(run)[name]) for name, tensor in weights(deepdraw.Run(by_command)).items())
    written = {path.relative_to(by_command) for path in by_command.rglob("*") if path.is_file()}
    assert written == {path.relative_to(run.directory) for path in run.directory.rglob("*") if path.is_file()}


def test_runs_get_new_directories_and_the_same_one_goes_on(small, tmp_path, capsys):
    first, second = deepdraw.train(small), deepdraw.train(small)
    assert first.directory != second.directory
    assert first.directory.absolute().is_relative_to(tmp_path / "outputs")
    capsys.readouterr()
    assert deepdraw.train(small, directory=first) == first
    assert "resumed at step" in capsys.readouterr().out


def test_options_of_ones_own_are_found_in_config_dir(small, tmp_path):
    (tmp_path / "it's mine" / "schedule").mkdir(parents=True)
    (tmp_path / "it's mine/schedule/flat.yaml").write_text("_target_: deepdraw.training.constant\nwarmup: 0.0\n")
    run = deepdraw.train([*small, "schedule=flat"], directory="run", config_dir=tmp_path / "it's mine")
    assert torch.load(run.checkpoint)["config"]["schedule"]["_target_"] == "deepdraw.training.constant"


def test_a_run_its_directory_and_its_checkpoint_are_the_same_to_all(trained, evaluate, tmp_path):
    run = deepdraw.Run(trained)
    strokes = [[[0, 255, 255], [0, 0, 255]]]
    ((from_run,), (from_file,)) = (deepdraw.load(each).logits([strokes]) for each in (run, str(run.checkpoint)))
    assert (from_run == from_file).all()
    found = [deepdraw.evaluate(each, overrides=UNSHOWN) for each in (run, trained, run.checkpoint)]
    assert (
        found[0].keys() == found[1].keys() and found[0]["test/top1"] == found[1]["test/top1"] == found[2]["test/top1"]
    )
    evaluate(trained)
    written = json.loads((trained / "evaluations/test.json").read_text())
    assert written["test/top1"] == found[0]["test/top1"]


def test_it_works_within_a_program_that_uses_hydra_itself(small, tmp_path):
    script = tmp_path / "own.py"
    script.write_text(
        "import deepdraw, hydra, sys\n"
        "from hydra.core.hydra_config import HydraConfig\n"
        "overrides, sys.argv[1:] = sys.argv[1:], ['hydra.run.dir=own']\n"
        "@hydra.main(version_base='1.3', config_path=None)\n"
        "def main(config):\n"
        "    runs = [deepdraw.train(overrides, directory=name) for name in 'ab']\n"
        "    assert HydraConfig.get().job.name == 'own'\n"
        "    print(deepdraw.evaluate(runs[0], overrides=['data.num_workers=0', 'pictures=false'])['test/top1'])\n"
        "main()\n"
    )
    done = run_python(script.name, *small, cwd=tmp_path)
    assert 0 <= float(done.splitlines()[-1]) <= 1
    assert "job:" in (tmp_path / "a/.hydra/hydra.yaml").read_text()


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: deepdraw.train(["backbone=clap"]), "there is no backbone=clap: did you mean clip?"),
        (lambda: deepdraw.train(["backbone=[a"]), r"backbone=\[a cannot be read"),
        (lambda: deepdraw.train(["epochs=3"]), r"there is no epochs: did you mean train\.epochs=3\?"),
        (lambda: deepdraw.train("seed=3"), r"is one text: give a list, such as \['seed=3'\]"),
        (lambda: deepdraw.train(["seed=x"]), "seed=x must be a whole number"),
        (lambda: deepdraw.train(["data.root=???"]), "data.root is missing: give data.root=..."),
        (lambda: deepdraw.train(config_dir="none"), "config_dir=none is no directory"),
        (lambda: deepdraw.evaluate("none"), "there is no checkpoint none"),
        (lambda: deepdraw.load("."), "there is no checkpoint checkpoints/best.pt"),
    ],
)
def test_bad_input_is_a_value_error_in_one_line(call, line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=line) as refused:
        call()
    assert "\n" not in str(refused.value)


def run_python(*arguments: str, cwd: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_deepdraw_is_light(tmp_path):
    printed = run_python(
        "-c", "import deepdraw, sys; print(*{name.split('.')[0] for name in sys.modules})", cwd=tmp_path
    )
    assert not {"torch", "hydra", "omegaconf", "numpy"} & set(printed.split())


@pytest.mark.slow
def test_the_code_of_the_page_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
    printed = run_python("-c", "\n".join(blocks), cwd=tmp_path)
    assert "did you mean clip?" in printed


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    cells = json.loads((ROOT / "docs/notebook.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in cells), "outputs are of one machine: clear them"
    assert not any(line.startswith(("%", "!")) for cell in code for line in cell.splitlines()), (
        "plain Python, to be tested"
    )
    run_python("-c", "\n".join(code), cwd=tmp_path)
