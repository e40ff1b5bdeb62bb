"""A run directory has one writer at a time, a default directory is new, and results are written by turns."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hydra.core.utils import setup_globals
from omegaconf import OmegaConf

from deepdraw.report.write import write_metrics
from deepdraw.runtime.files import whole_file
from deepdraw.runtime.lock import Lock
from deepdraw.runtime.run_directory import NewDirectory, check_folders, results_writer, sole_writer

HOLD = """
import sys, time
from pathlib import Path
from deepdraw.runtime.run_directory import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def trainer(tmp_path):
    """Another process that holds the run directory."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_directory_in_which_a_process_trains_is_refused_in_one_line(tmp_path, trainer):
    message = rf"^process {trainer.pid} on \S+ is training in .*: .*hydra.run.dir$"
    with pytest.raises(ValueError, match=message), sole_writer(tmp_path):
        pass


def test_the_directory_of_a_killed_process_is_taken_over_at_once(tmp_path, trainer):
    trainer.kill()
    trainer.wait()
    with sole_writer(tmp_path):
        pass
    assert not (tmp_path / ".lock").exists()


def test_parts_of_killed_processes_are_removed(tmp_path):
    kill = "import os, signal; from pathlib import Path; from deepdraw.runtime.files import whole_file\n"
    kill += "with whole_file(Path('checkpoints/last.pt')) as file: os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", kill], cwd=tmp_path, check=False)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    with whole_file(tmp_path / "checkpoints/best.pt"), sole_writer(tmp_path):  # a living writer keeps its part
        assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["best.pt"]


@pytest.mark.parametrize("folder", ["checkpoints", "plots", "evaluations", "evaluations/test"])
def test_a_folder_that_leads_out_of_the_run_is_refused(tmp_path, folder):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / folder).parent.mkdir(parents=True)
    (tmp_path / "run" / folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=f"{folder} is a link to a place outside of the run"):
        check_folders(tmp_path / "run")


def hydra_config(directory: str, *overrides: str):
    return OmegaConf.create({"hydra": {"run": {"dir": directory}, "overrides": {"hydra": list(overrides)}}})


def test_a_default_directory_is_new_even_in_the_same_second(tmp_path, request):
    OmegaConf.register_new_resolver("now", lambda _: "12-00-00", replace=True)
    request.addfinalizer(setup_globals)  # Hydra's own
    names = []
    threads = [threading.Thread(target=lambda: names.append(chosen(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == ["12-00-00", *(f"12-00-00_{number}" for number in range(2, 9))]


def chosen(folder: Path) -> str:
    config = hydra_config(f"{folder}/day/${{now:%H}}")
    NewDirectory().on_run_start(config)
    assert Path(config.hydra.run.dir).is_dir()
    return Path(config.hydra.run.dir).name


def test_a_directory_that_was_asked_for_stays_as_it_is(tmp_path):
    config = hydra_config(str(tmp_path), f"hydra.run.dir={tmp_path}")
    NewDirectory().on_run_start(config)
    assert config.hydra.run.dir == str(tmp_path)


def test_the_directory_may_be_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = hydra_config("~/my run (1)")
    NewDirectory().on_run_start(config)
    assert config.hydra.run.dir == f"{tmp_path}/my run (1)"
    config = OmegaConf.create({"hydra": {"sweep": {"dir": "~/sweeps"}}})
    NewDirectory().on_multirun_start(config)
    assert config.hydra.sweep.dir == f"{tmp_path}/sweeps"


@pytest.mark.parametrize(
    ("name", "reason"), [("s3://bucket/run", "is an address (s3)"), ("a file", "is a file and no folder")]
)
def test_a_directory_that_cannot_be_one_is_refused(tmp_path, monkeypatch, name, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    with pytest.raises(SystemExit) as of_run:
        NewDirectory().on_run_start(hydra_config(name))
    with pytest.raises(SystemExit) as of_sweep:
        NewDirectory().on_multirun_start(OmegaConf.create({"hydra": {"sweep": {"dir": name}}}))
    for key, refused in (("hydra.run.dir", of_run), ("hydra.sweep.dir", of_sweep)):
        assert str(refused.value.code).startswith(f"error: {key}={name} {reason}")
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


def test_results_are_written_by_turns_and_none_is_lost(tmp_path, capsys):
    lock = Lock(tmp_path / "evaluations/.lock")
    (tmp_path / "evaluations").mkdir()
    assert lock.acquire()
    threads = [
        threading.Thread(target=write_metrics, args=(tmp_path, "test", {f"top{number}": 0.5})) for number in range(4)
    ]
    for thread in threads:
        thread.start()
    while "waiting for process" not in capsys.readouterr().out:
        assert all(thread.is_alive() for thread in threads)
    lock.release()
    for thread in threads:
        thread.join()
    with results_writer(tmp_path):
        written = (tmp_path / "evaluations/test.json").read_text()
    assert all(f'"test/top{number}": 0.5' in written for number in range(4))
