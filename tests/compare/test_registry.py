"""All runs below a directory: what counts as a run, which is the best, and what is ranked together."""

import json
from pathlib import Path

import pytest

from deepdraw.compare.__main__ import main


def write_run(directory: Path, summary: dict | None = None, **config) -> Path:
    """A run directory; not finished where there is no summary."""
    (directory / "checkpoints").mkdir(parents=True)
    (directory / "config.yaml").write_text(
        json.dumps({"backbone": {"name": "tiny"}, "data": {"root": "here"}} | config)
    )
    if summary is not None:
        (directory / "summary.json").write_text(json.dumps(summary))
    return directory


@pytest.fixture
def runs(tmp_path) -> Path:
    write_run(
        tmp_path / "outputs/day/a", {"val/top1": 0.7, "val/loss": 2.0, "test/top1": 0.6, "date": "2026-11-01T01:02:03"}
    )
    write_run(
        tmp_path / "sweeps/s/0", {"val/top1": 0.9, "val/loss": 3.0, "test/top1": 0.5, "date": "2026-11-02T01:02:03"}
    )
    write_run(tmp_path / "sweeps/s/lr=0.1,wd=0", {"val/top1": 0.8, "val/loss": 1.0})
    write_run(tmp_path / "outputs/unfinished")
    (tmp_path / "outputs/other").mkdir()
    (tmp_path / "outputs/other/config.yaml").write_text("a: 1")
    return tmp_path


def printed(capsys, monkeypatch, *arguments: str) -> str:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(arguments) == 0
    return capsys.readouterr().out


def order(text: str, *names: str) -> list[str]:
    return sorted(names, key=text.index)


def test_ls_lists_every_run_at_any_depth_the_newest_first_and_nothing_else(runs, capsys, monkeypatch):
    text = printed(capsys, monkeypatch, "ls", str(runs))
    assert text.startswith(f"4 runs below {runs}")
    names = ("sweeps/s/0", "outputs/day/a", "sweeps/s/lr=0.1,wd=0", "outputs/unfinished")
    assert order(text, *names) == list(names)
    assert text.count("not finished") == 1 and "outputs/other" not in text
    assert "2026-11-02 01:02" in text


def test_best_is_chosen_on_validation_and_not_on_test(runs, capsys, monkeypatch):
    text = printed(capsys, monkeypatch, "best", str(runs))
    assert "best: sweeps/s/0; python evaluate.py ckpt=" in text
    assert order(text, "outputs/day/a", "sweeps/s/0", "sweeps/s/lr=0.1,wd=0") == [
        "sweeps/s/0",
        "sweeps/s/lr=0.1,wd=0",
        "outputs/day/a",
    ]
    assert "unfinished" not in text


def test_of_losses_the_lowest_is_the_best(runs, capsys, monkeypatch):
    assert "best: sweeps/s/lr=0.1,wd=0;" in printed(capsys, monkeypatch, "best", str(runs), "metric=val/loss")


def test_runs_on_other_drawings_or_by_another_objective_are_not_ranked_together(runs, capsys, monkeypatch):
    write_run(runs / "b", {"val/top1": 0.99, "classes": 3, "drawings": {"test": 5}, "recognition": "recognized"})
    write_run(runs / "c", {"val/loss": 0.5}, objective="val/loss")
    text = printed(capsys, monkeypatch, "best", str(runs))
    for name in ("sweeps/s/0", "b", "c"):
        assert f"best: {name};" in text
    assert "by val/top1, on here, 3 classes, 5 test, recognized" in text


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["ls", "missing"], "missing is no directory"),
        (["ls", "empty"], "there is no run below empty"),
        (["best", "sweeps", "metric=val/kappa"], "no run below sweeps has finished with val/kappa measured"),
        (["best", "sweeps", "outputs"], "best takes one directory, and not 2"),
    ],
)
def test_what_cannot_be_listed_ends_with_one_line(runs, monkeypatch, arguments, message):
    (runs / "empty").mkdir()
    monkeypatch.chdir(runs)
    with pytest.raises(SystemExit, match=f"^error: {message}"):
        main(arguments)


def test_a_damaged_run_is_named_and_left_out(runs, capsys, monkeypatch):
    (runs / "sweeps/s/0/summary.json").write_text("{")
    text = printed(capsys, monkeypatch, "best", str(runs))
    assert "left out: " in text and "best: sweeps/s/lr=0.1,wd=0;" in text
