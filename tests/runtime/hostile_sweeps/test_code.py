"""The code in a sweep's directory runs only where this user launched the sweep, or trusts it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deepdraw.sweep.__main__ import main
from deepdraw.sweep.record import Job, write_sweep
from tests.runtime.hostile_sweeps.conftest import SCRIPT, changed


def copied(sweep: Path) -> Path:
    """The sweep as an archive would bring it to another user."""
    there = sweep.with_name("copied")
    shutil.copytree(sweep, there)
    return there


def plant(sweep: Path, name: str, content: str = "") -> None:
    (sweep / name).parent.mkdir(exist_ok=True)
    (sweep / name).write_text(content or SCRIPT.format(mark=str(sweep.parent / "ran")))


CHANGES = {
    "another task": lambda sweep: changed(sweep, lambda document: document.update(task="/tmp/other.py")),
    "another objective": lambda sweep: changed(sweep, lambda document: document.update(objective="val/top5")),
    "other overrides": lambda sweep: changed(sweep, lambda document: document["jobs"][0].update(overrides=["x=9"])),
    "another job": lambda sweep: changed(sweep, lambda document: document["jobs"].pop()),
    "another code version": lambda sweep: changed(sweep, lambda document: document["code"].update(digest="1")),
    "no signature": lambda sweep: changed(sweep, lambda document: document.pop("signature")),
    "an empty signature": lambda sweep: changed(sweep, lambda document: document.update(signature="")),
    "a signature that is no ASCII": lambda sweep: changed(sweep, lambda document: document.update(signature="é")),
    "code that was changed": lambda sweep: plant(sweep, "code/train.py", "import os"),
    "a module more": lambda sweep: plant(sweep, "code/sitecustomize.py"),
    "a package more": lambda sweep: plant(sweep, "code/yaml/__init__.py"),
    "a module less": lambda sweep: (sweep / "code/deepdraw/__init__.py").unlink(),
    "a module that is a link": lambda sweep: (sweep / "code/torch.py").symlink_to("../../elsewhere.py"),
    "a config that was changed": lambda sweep: plant(sweep, "jobs/1.yaml", "hydra: {launcher: {setup: [touch ran]}}"),
    "a config that is gone": lambda sweep: (sweep / "jobs/0.yaml").unlink(),
}


@pytest.mark.parametrize("how", CHANGES)
def test_files_that_no_launch_of_this_user_wrote_are_not_run(sweep, how, capsys):
    CHANGES[how](sweep)
    assert main(["resume", str(sweep)]) == 1
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert "was not launched by you, or has been changed since" in told.err
    assert "--trust" in told.err
    assert str(sweep) in told.err
    assert not (sweep.parent / "ran").exists()
    assert not list((sweep / "logs").iterdir())


def test_a_sweep_of_another_user_is_not_run(sweep, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another home"))
    assert main(["resume", str(sweep)]) == 1
    assert "was not launched by you" in capsys.readouterr().err
    write_sweep(tmp_path / "own", "local", "val/top1", [Job(0, [], tmp_path / "own/0")])  # makes a key, of another user
    assert main(["resume", str(sweep)]) == 1
    assert not (tmp_path / "ran").exists()
    assert (tmp_path / "another home/deepdraw/sweep.key").stat().st_mode & 0o077 == 0


def test_a_users_own_sweep_says_what_it_runs_wherever_it_has_gone(sweep, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "deepdraw.sweep.launch_local.run_jobs", lambda sweep, jobs, **limits: asked.append(limits) or True
    )
    for directory in (sweep, copied(sweep)):
        main(["resume", str(directory)])
        told = capsys.readouterr().out.splitlines()[0]
        assert told == f"running {sweep}/code/train.py, by the code in {directory}/code"
    assert asked == [{"n_jobs": 1, "threads": 1}] * 2


def test_a_trusted_sweep_is_run(sweep, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "deepdraw.sweep.launch_local.run_jobs", lambda sweep, jobs, **limits: asked.append(jobs) or True
    )
    changed(sweep, lambda document: document.update(signature=""))
    main(["resume", str(sweep), "--trust"])
    assert len(asked) == 1


def test_bytecode_compiled_elsewhere_is_not_run(sweep, monkeypatch):
    """Python takes a .pyc for its source where time and size agree; it is no part of what is signed."""
    monkeypatch.setattr("deepdraw.sweep.launch_local.run_jobs", lambda *_, **__: True)
    plant(sweep, "code/__pycache__/train.cpython-311.pyc")
    plant(sweep, "code/deepdraw/__pycache__/raster.nbi")
    main(["resume", str(sweep)])
    assert not list((sweep / "code").rglob("__pycache__"))
