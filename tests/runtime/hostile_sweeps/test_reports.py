"""Reports, summaries, metrics and logs that are damaged or hostile end no table."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from deepdraw.runtime.lock import Lock
from deepdraw.sweep.__main__ import main
from deepdraw.sweep.backends import states
from deepdraw.sweep.record import read_sweep
from tests.runtime.hostile_sweeps.conftest import changed

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
