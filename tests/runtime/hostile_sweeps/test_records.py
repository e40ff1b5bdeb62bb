"""A sweep.json of a stranger: what no launcher writes is refused, in one line, and sends no signal."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil

import pytest

from deepdraw.sweep.__main__ import main
from tests.runtime.hostile_sweeps.conftest import HERE, changed, refused


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
