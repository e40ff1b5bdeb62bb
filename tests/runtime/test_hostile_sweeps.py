"""Sweep directories from a stranger: nothing is run, signalled or written elsewhere, and one line says why."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepdraw.runtime.lock import Lock
from deepdraw.sweep import processes
from deepdraw.sweep.__main__ import COMMANDS, main
from deepdraw.sweep.backends import states
from deepdraw.sweep.record import Job, read_sweep, write_sweep
from deepdraw.sweep.reports import Report

HERE = socket.gethostname()
SCRIPT = "from pathlib import Path\nPath({mark!r}).touch()\n"


@pytest.fixture
def sweep(tmp_path) -> Path:
    """A sweep of two local jobs, launched by this user, whose code would leave `ran` beside it."""
    directory = tmp_path / "sweep"
    for folder in ("jobs", "code", "logs", "0", "1"):
        (directory / folder).mkdir(parents=True)
    launcher = {"n_jobs": 1, "threads": 1}
    for number in (0, 1):
        config = {"hydra": {"launcher": launcher, "runtime": {"cwd": str(tmp_path)}}}
        (directory / f"jobs/{number}.yaml").write_text(yaml.safe_dump(config))
    (directory / "code/train.py").write_text(SCRIPT.format(mark=str(tmp_path / "ran")))
    (directory / "code/deepdraw").mkdir()
    (directory / "code/deepdraw/__init__.py").write_text(SCRIPT.format(mark=str(tmp_path / "ran")))
    jobs = [Job(n, [f"x={n}"], directory / str(n), [f"20260101000000_{n}"]) for n in (0, 1)]
    write_sweep(directory, "local", "val/top1", jobs, task=str(directory / "code/train.py"), code={"digest": "0"})
    return directory


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of this user's that has to do with no sweep."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    yield process
    assert process.poll() is None, "it was sent a signal"
    process.kill()
    process.wait()


@pytest.fixture
def signals(monkeypatch) -> list[tuple[int, int]]:
    """The signals that processes are sent, in the place of sending them; 0 asks whether there is one."""
    sent: list[tuple[int, int]] = []
    kill = os.kill

    def note(pid: int, number: int) -> None:
        if number:
            sent.append((pid, number))
        else:
            kill(pid, number)

    monkeypatch.setattr(os, "kill", note)
    return sent


def changed(sweep: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((sweep / "sweep.json").read_text())
    change(document)
    (sweep / "sweep.json").write_text(json.dumps(document))


def refused(sweep: Path, capsys, *names: str) -> None:
    """Hold every command to one line that names each of these."""
    for command in COMMANDS:
        assert main([command, str(sweep)]) == 1, command
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert told.count("\n") == 1
        assert all(name in told for name in names), told


@pytest.mark.parametrize(
    "number", ["--user=victim", "-1", "7_0 --user=victim", "7,8", "*", "7_0\n", "\uff17", "", "7_[0-9]"]
)
def test_an_id_that_no_launcher_gives_is_refused(sweep, number, capsys, signals):
    changed(sweep, lambda document: document["jobs"][1].update(ids=[number]))
    changed(sweep, lambda document: document.update(launcher="slurm"))
    refused(sweep, capsys, "sweep.json", "is no id of a job")
    assert not signals


@pytest.mark.parametrize("place", ["../elsewhere", "/tmp", "/", ".", "", "0/../..", "out", "out/deeper"])
def test_a_job_that_lies_elsewhere_is_refused(sweep, place, capsys):
    (sweep.parent / "elsewhere/deeper").mkdir(parents=True)
    (sweep / "out").symlink_to("../elsewhere")
    changed(sweep, lambda document: document["jobs"][1].update(directory=place))
    refused(sweep, capsys, "sweep.json", "leads out of")
    assert not list((sweep.parent / "elsewhere").rglob("*.*"))


@pytest.mark.parametrize("place", ["\0", "a\0b", "a" * 300, "a/" * 5000])
def test_a_job_in_a_directory_that_cannot_be_is_refused(sweep, place, capsys):
    changed(sweep, lambda document: document["jobs"][1].update(directory=place))
    refused(sweep, capsys, "sweep.json", "of job 1")


@pytest.mark.parametrize("name", ["logs", "jobs", "code"])
def test_a_folder_of_the_sweep_that_is_a_link_out_is_refused(sweep, name, capsys):
    (sweep / name).rename(sweep.parent / "elsewhere")
    (sweep / name).symlink_to("../elsewhere")
    refused(sweep, capsys, name, "is a link out of the directory")


def test_a_job_directory_that_is_a_link_out_is_refused(sweep, capsys):
    (sweep.parent / "elsewhere").mkdir()
    shutil.rmtree(sweep / "1")
    (sweep / "1").symlink_to("../elsewhere")
    refused(sweep, capsys, "sweep.json", "leads out of")


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(jobs=[]),
        lambda document: document.update(jobs={}),
        lambda document: document.update(jobs=[{"number": 0}]),
        lambda document: document.update(jobs=document["jobs"] * 2),
        lambda document: document["jobs"][0].update(number=-1),
        lambda document: document["jobs"][0].update(number=10**30),
        lambda document: document["jobs"][0].update(number="0"),
        lambda document: document["jobs"][0].update(overrides="x=1"),
        lambda document: document["jobs"][0].update(ids=[7]),
        lambda document: document.update(launcher="ssh"),
        lambda document: document.update(objective=None),
        lambda document: document.update(code=[]),
        lambda document: document.pop("objective"),
    ],
)
def test_a_sweep_of_another_form_is_refused(sweep, change, capsys):
    changed(sweep, change)
    refused(sweep, capsys, "sweep.json")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 100_000, '{"jobs": NaN}', "\xff", "\0" * 10])
def test_a_damaged_sweep_is_refused(sweep, content, capsys):
    (sweep / "sweep.json").write_bytes(content.encode("latin-1"))
    refused(sweep, capsys, "sweep.json")


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "link"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(sweep, kind, capsys):
    file = sweep / "sweep.json"
    shutil.copy(file, sweep.parent / "elsewhere.json")
    file.unlink()
    {
        "fifo": lambda: os.mkfifo(file),
        "device": lambda: file.symlink_to("/dev/zero"),
        "folder": file.mkdir,
        "link": lambda: file.symlink_to("../elsewhere.json"),
    }[kind]()
    refused(sweep, capsys, "sweep.json")


HOSTILE_OWNERS = [-1, 0, 1, 2**31, 10**30, True, None, "1", 1.5, [], "bystander"]


@pytest.mark.parametrize("pid", HOSTILE_OWNERS)
def test_no_process_that_a_lock_names_is_sent_a_signal(sweep, pid, bystander, signals):
    pid = bystander.pid if pid == "bystander" else pid
    for machine in (json.loads(Lock(sweep / "x")._own)["machine"], "elsewhere"):
        owner = {"host": HERE, "pid": pid, "machine": machine, "since": "", "token": ""}
        (sweep / "local.lock").write_text(json.dumps(owner))
        assert main(["cancel", str(sweep)]) in (0, 1)
    assert not signals


@pytest.mark.parametrize("pid", HOSTILE_OWNERS)
def test_no_process_is_sent_a_signal_that_is_not_the_job(sweep, pid, bystander, signals):
    pid = bystander.pid if pid == "bystander" else pid
    report = {"state": "RUNNING", "id": "20260101000000_0", "host": HERE, "pid": pid}
    (sweep / "0/job.json").write_text(json.dumps(report))
    assert main(["cancel", str(sweep)]) in (0, 1)
    assert not signals


@pytest.fixture
def job(sweep) -> Iterator[Report]:
    """The report of a process with the command line of the sweep's first job."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    command += processes.job_command(sweep, 0, "20260101000000_0")[1:]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Report("RUNNING", "20260101000000_0", HERE, process.pid)


def test_a_process_is_the_job_only_of_its_own_sweep_number_and_attempt(sweep, job, tmp_path, signals):
    assert processes.is_running(sweep, 0, job)
    assert not processes.is_running(sweep, 1, job)
    assert not processes.is_running(tmp_path, 0, job)
    assert not processes.is_running(sweep, 0, replace(job, id="20260101000001_0"))
    processes.interrupt(sweep, {0: job, 1: job})
    assert [pid for pid, _ in signals] == [job.pid]


def test_a_process_is_the_job_by_whatever_path_the_sweep_is_named(sweep, job, tmp_path):
    (tmp_path / "link").symlink_to("sweep")
    assert processes.is_running(tmp_path / "link", 0, job)


def test_a_process_of_another_user_is_not_the_job(sweep, job, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert not processes.is_running(sweep, 0, job)


def test_where_there_is_no_proc_the_command_line_is_asked_of_ps(sweep, job, monkeypatch):
    if shutil.which("ps") is None:
        pytest.skip("no ps")
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: exists(path) and not str(path).startswith("/proc"))
    assert processes.is_running(sweep, 0, job)
    assert not processes.is_running(sweep, 1, job)


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


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["n_jobs=abc"], "n_jobs"),
        (["n_jobs=0"], "n_jobs=0"),
        (["n_jobs=-1"], "n_jobs=-1"),
        (["threads=[1]"], "threads"),
        (["threads=0"], "threads=0"),
        (["n_jobs"], "n_jobs"),
        (["=1"], "no setting of this launcher"),
    ],
)
def test_a_setting_that_is_none_is_refused_before_anything_runs(sweep, settings, said, capsys):
    main(["resume", str(sweep), *settings])
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert not (sweep.parent / "ran").exists()


DAMAGED = [b"", b"{", b"[]", b"null", b'{"state": "RUNNING"}', b'{"state": "DONE", "id": "1"}', b"\xff\xfe", b"1" * 99]
DAMAGED += [b'{"state": "FAILED", "id": "1", "pid": "x"}', b'{"state": "FAILED", "id": "1", "objective": NaN}']


@pytest.mark.parametrize("content", [*DAMAGED, "fifo", "device", "folder", "link"])
def test_a_damaged_report_is_that_jobs_state_and_ends_no_table(sweep, content, capsys):
    file = sweep / "0/job.json"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        kinds = {"fifo": lambda: os.mkfifo(file), "device": lambda: file.symlink_to("/dev/zero"), "folder": file.mkdir}
        kinds.get(content, lambda: file.symlink_to("../../elsewhere"))()
    first, second = states(read_sweep(sweep))
    assert (first.state, second.state) == ("FAILED", "STOPPED")
    assert str(file) in first.error
    assert main(["status", str(sweep)]) == 0
    assert "1 FAILED, 1 STOPPED" in capsys.readouterr().out
    assert main(["collect", str(sweep)]) == 1
    assert main(["cancel", str(sweep)]) == 0


def completed(sweep: Path) -> None:
    for number in (0, 1):
        report = {"state": "COMPLETED", "id": f"20260101000000_{number}", "objective": 0.5}
        (sweep / f"{number}/job.json").write_text(json.dumps(report))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"a/b": {}}', b'{"=cmd/x": "=1+1", "a/b": [1]}'])
def test_a_damaged_summary_leaves_out_its_metrics(sweep, content):
    completed(sweep)
    (sweep / "0/summary.json").write_bytes(content)
    assert main(["collect", str(sweep)]) == 0
    rows = (sweep / "results.csv").read_text()
    assert ("summary.json" in rows) == (content[:2] not in (b'{"',))
    assert ",=" not in rows


METRICS = [
    b"",
    b"\0" * 100,
    b"\xff\xfe" * 50,
    b"epoch,step,val/top1\n",
    b"epoch,step,val/top1\nnan,1,inf\n",
    b"epoch,step,val/top1\nx,y,z\none,2,three\n",
    b"epoch,step,val/top1\n1e999,2,-1e999\n",
    b'"epoch,step,val/top1\n1,2,3',
    b"epoch," * 200_000,
    b"epoch,step,val/top1\n" + b"9" * 500_000,
    b"epoch,step,val/top1\n" + b"1,2,0.5,\n" * 30_000,
]


@pytest.mark.parametrize("content", METRICS, ids=lambda content: repr(content[:30]))
def test_metrics_that_are_damaged_tell_nothing(sweep, content):
    (sweep / "0/metrics.csv").write_bytes(content)
    job = states(read_sweep(sweep))[0]
    assert (job.epoch, job.metric) == (None, None)


def test_a_row_is_taken_only_once_it_is_whole(sweep):
    heading, rows = "epoch,step,val/top1\n", "".join(f"{epoch},2,0.5\n" for epoch in range(10_000, 30_000))
    (sweep / "0/metrics.csv").write_text(f"{heading}{rows}30000,2,0.")
    job = states(read_sweep(sweep))[0]
    assert (job.epoch, job.metric) == (29_999, 0.5)


@pytest.mark.parametrize("name", ["0/metrics.csv", "logs/20260101000000_0_log.err", "logs/20260101000000_0_log.out"])
@pytest.mark.parametrize("kind", ["fifo", "device", "link"])
def test_metrics_and_logs_from_elsewhere_are_not_read(sweep, name, kind, capsys):
    (sweep / "0/job.json").write_text(json.dumps({"state": "FAILED", "id": "20260101000000_0"}))
    secret = sweep.parent / "secret"
    secret.write_text("epoch,val/top1\n7,0.123456\nsecret words\n")
    target = {"device": "/dev/zero", "link": str(secret)}.get(kind)
    os.mkfifo(sweep / name) if target is None else (sweep / name).symlink_to(target)
    assert main(["collect", str(sweep)]) == 1
    told = capsys.readouterr().out + (sweep / "results.csv").read_text()
    assert "secret words" not in told
    assert "0.1234" not in told


@pytest.mark.parametrize("name", ["results.csv", "results.png", "cancel"])
def test_files_of_a_sweep_replace_links(sweep, name):
    completed(sweep)
    victim = sweep.parent / "victim"
    victim.write_text("mine")
    (sweep / name).symlink_to(victim)
    if name == "cancel":
        with Lock(sweep / "local.lock") as lock:
            assert lock.acquire()
            assert main(["cancel", str(sweep)]) == 0
    else:
        assert main(["collect", str(sweep)]) == 0
    assert victim.read_text() == "mine"
    assert not (sweep / name).is_symlink()


MARKUP = ["[/]", "[/red]x", "[bold]", "logger=[csv,wandb]", "\x1b[31mred", "a\nb", "$x$", "=1+1", "\x9b2J", "‮abc"]


@pytest.mark.parametrize("text", MARKUP)
def test_overrides_causes_and_errors_are_shown_as_they_are(sweep, text, capsys):
    def write(document: dict[str, Any]) -> None:
        document["objective"] = text
        for job in document["jobs"]:
            job["overrides"] = [f"{text}={text}{job['number']}", f"logger=[csv,wandb{job['number']}]"]

    changed(sweep, write)
    report = {"state": "FAILED", "id": "20260101000000_0", "cause": text, "error": text, "traceback": f"{text}\n{text}"}
    (sweep / "0/job.json").write_text(json.dumps(report))
    report = {"state": "COMPLETED", "id": "20260101000000_1", "objective": 0.5}
    (sweep / "1/job.json").write_text(json.dumps(report))
    assert main(["status", str(sweep)]) == 0
    assert main(["collect", str(sweep)]) == 1
    told = capsys.readouterr().out
    assert "[csv,wandb1]" in told
    assert not {character for character in told if ord(character) < 32} - {"\n"}
    assert not set("\x9b‮") & set(told)
    assert (sweep / "results.png").stat().st_size > 2000


def test_no_change_of_a_sweep_or_report_gives_more_than_one_line(sweep, capsys):
    """A seeded fuzz: values of another kind, bytes flipped, cut short."""
    rng = random.Random(0)
    report = {"state": "RUNNING", "id": "20260101000000_0", "host": HERE, "pid": 3, "started": "", "objective": 0.5}
    (sweep / "0/job.json").write_text(json.dumps(report))
    originals = {name: (sweep / name).read_bytes() for name in ("sweep.json", "0/job.json")}
    values = [None, -1, 0, 1.5, 10**30, True, "", "x", "../x", [], [[]], {}, {"a": 1}, "\ud800", "-1", "a" * 10_000]
    for _ in range(200):
        name = rng.choice(list(originals))
        content = originals[name]
        if rng.random() < 0.5:
            document = copy.deepcopy(json.loads(content))
            holder = rng.choice([document, *document.get("jobs", [])])
            holder[rng.choice(list(holder))] = rng.choice(values)
            content = json.dumps(document).encode()
        else:
            damaged = bytearray(content)
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            content = bytes(damaged[: rng.randrange(len(damaged))] if rng.random() < 0.2 else damaged)
        (sweep / name).write_bytes(content)
        if main(["status", str(sweep)]):
            assert capsys.readouterr().err.count("\n") == 1
        (sweep / name).write_bytes(originals[name])
