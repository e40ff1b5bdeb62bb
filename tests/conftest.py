"""What tests share: real drawings and weights, a small data set, and the two commands run in this process."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hydra.core.hydra_config import HydraConfig

import deepdraw.runtime.startup  # noqa: F401  # once, before Ctrl-C is set below: train.py imports it
from tests.polygons import write_polygons

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
SMALL_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 6, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}

torch.set_num_threads(1)
torch.cpu._is_amx_tile_supported = lambda: False  # precision=auto is fp32 on any CPU: the same numbers everywhere
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked gpu skip where there is no GPU."""
    skip = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that tests noted by record_property("figure", ...): those of this machine, held to no limit."""
    for report in terminalreporter.getreports("passed"):
        for name, figure in report.user_properties:
            if name == "figure" and report.when == "call":
                terminalreporter.write_line(figure)


@pytest.fixture(autouse=True)
def hydra_config() -> Iterator[None]:
    """Leave no config of Hydra, which a test may have composed, to the tests that the same process runs after it."""
    yield
    HydraConfig.instance().cfg = None


@pytest.fixture(scope="session", autouse=True)
def config_home(tmp_path_factory) -> None:
    """Where the key is kept that sweeps are signed with: not in the home of whoever runs the tests."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real drawings and weights beside the repository; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no folder ../shared with real drawings and weights")
    return folder


@pytest.fixture(scope="session")
def polygon_root(tmp_path_factory) -> Path:
    """Shards of three classes seen and two unseen."""
    return write_polygons(tmp_path_factory.mktemp("polygons"))


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a model of open_clip with two small towers."""
    import open_clip  # takes seconds, and few tests need it

    file = tmp_path_factory.mktemp("model_configs") / "small-clip.json"
    file.write_text(json.dumps(SMALL_CLIP))
    open_clip.add_model_config(file)
    return file.stem


Run = Callable[..., Path]


@pytest.fixture(scope="session")
def train_once(polygon_root) -> Run:
    """Run train.py's main on the polygons with small steps; returns the run directory."""

    def run(monkeypatch: pytest.MonkeyPatch, run_dir: Path, *overrides: str, plots: bool = False) -> Path:
        chosen = {override.partition("=")[0] for override in overrides}
        small = ["train.epochs=3", "train.log_every=5", "data.num_workers=0", "data.batch_size=32"]
        small += [f"features.dir={run_dir.parent / 'features'}"]
        if "precision" not in chosen:
            small += ["precision=fp32"]  # in processes that a test starts with these overrides, too
        if "data" not in chosen:
            small += ["data=quickdraw", f"data.root={polygon_root}"]
        if not {"backbone", "experiment"} & chosen:
            small += ["backbone.image_size=32", "backbone.options.channels=[8,8,16,16]"]
        if not plots:  # they take longer than the training
            for plot in ("curves.plot_curves", "sheets.plot_sheet"):
                monkeypatch.setattr(f"deepdraw.report.{plot}", lambda *arguments: None)
        monkeypatch.setattr(sys, "argv", ["train.py", f"hydra.run.dir={run_dir}", *small, *overrides])
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        return run_dir

    return run


@pytest.fixture
def train(monkeypatch, tmp_path, train_once) -> Run:
    """Run train.py's main on the polygons, in `run_dir` or else the test's own directory; returns it."""

    def run(*overrides: str, run_dir: Path = tmp_path / "run", plots: bool = False) -> Path:
        return train_once(monkeypatch, run_dir, *overrides, plots=plots)

    return run


@pytest.fixture
def evaluate(monkeypatch) -> Callable[..., None]:
    """Run evaluate.py's main on a checkpoint."""

    def run(ckpt: Path, *overrides: str) -> None:
        small = ["data.num_workers=0", "features.dir=null", "pictures=false"]
        monkeypatch.setattr(sys, "argv", ["evaluate.py", f"ckpt={ckpt}", *small, *overrides])
        runpy.run_path(str(ROOT / "evaluate.py"), run_name="__main__")

    return run


# Not as rendered by default: an evaluation that forgot what the checkpoint says of it would give other numbers.
TRAINED = ("train.epochs=2", "render.polarity=white_on_black", "render.line_width=2.5")


@pytest.fixture(scope="session")
def trained_once(train_once, tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return train_once(monkeypatch, tmp_path_factory.mktemp("trained") / "run", *TRAINED)


@pytest.fixture
def trained(trained_once, tmp_path) -> Path:
    """The directory of a finished run of `TRAINED`, to be changed at will."""
    return shutil.copytree(trained_once, tmp_path / "run")


@pytest.fixture
def resume(trained, train) -> Run:
    """Start the command of `trained` again in its directory."""
    return lambda *overrides: train(*TRAINED, *overrides, run_dir=trained)


class Interrupted(Exception):
    pass


@pytest.fixture
def interrupted(monkeypatch, train):
    """Run train.py, but as if the power went off at the first row of metrics after `step`."""

    def run(step: int, *overrides: str, run_dir: Path) -> None:
        from deepdraw.training.state import State  # imports torch's distributed parts, which few tests need

        log = State.log

        def fail(self, metrics, epoch=None):
            log(self, metrics, epoch)
            if self.step >= step:
                raise Interrupted

        with monkeypatch.context() as patch:
            patch.setattr(State, "log", fail)
            patch.setenv("HYDRA_FULL_ERROR", "1")
            with pytest.raises(Interrupted):
                train(*overrides, run_dir=run_dir)

    return run


@pytest.fixture
def killed() -> Callable[[int, Path], Path]:
    """Start the latest command of `train` again as a job of its own in `run`, and send it a signal after an epoch."""

    def kill(number: int, run: Path) -> Path:
        command = [sys.executable, "train.py", *sys.argv[2:], f"hydra.run.dir={run}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        job = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
        while not (run / "checkpoints/best.pt").exists():
            assert job.poll() is None
            time.sleep(0.01)
        os.killpg(job.pid, number)
        # outside of training steps nothing is to be saved, so there the signal itself ends the job
        assert job.wait(60) in ((-number,) if number == signal.SIGKILL else (130, -number))
        assert not (run / "summary.json").exists(), "it was over before it was killed"
        return run

    return kill


@pytest.fixture
def chromium() -> Iterator:
    """A browser of Playwright, by which a test opens pages as a person would."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright, which drives the browser, is absent")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
