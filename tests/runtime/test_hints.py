"""Each command that a message or a table tells can be pasted into a shell, whatever the paths in it are called."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from deepdraw.compare.runs import command
from deepdraw.config.paths import quote_paths
from deepdraw.runtime import resume_command, typed, write_text
from deepdraw.sweep.__main__ import main
from deepdraw.sweep.claim import claim

NAMES = {
    "plain": "run",
    "space": "my runs (1)",
    "comma": "a,b",
    "equals": "lr=0.1,wd=0",
    "apostrophe": "it's",
    "quotes": 'say "hi"',
    "dollar": "$HOME",
    "semicolon": "a;b&c|d",
    "brackets": "[x] {y}",
    "letters": "Zürich",
    "star": "*?~#!",
}


def values_for_hydra(words: list[str]) -> list[str]:
    """What Hydra takes the words of a command for, each as one text."""
    found = [OverridesParser.create().parse_override(word) for word in quote_paths(words)]
    assert not any(override.is_sweep_override() for override in found)
    return [f"{override.key_or_group}={override.value()}" for override in found]


@pytest.fixture(params=NAMES.values(), ids=NAMES.keys())
def directory(request, tmp_path) -> Path:
    (tmp_path / request.param / "checkpoints").mkdir(parents=True)
    (tmp_path / request.param / "checkpoints/best.pt").touch()
    return tmp_path / request.param


def test_a_command_of_a_run_names_the_run(directory):
    for hint, expected in (
        (command(directory, "test"), [f"ckpt={directory / 'checkpoints/best.pt'}", "split=test"]),
        (resume_command(directory, "device=cpu"), [f"hydra.run.dir={directory}", "device=cpu"]),
        (typed("python", "train.py", f"backbone.pretrained={directory}"), [f"backbone.pretrained={directory}"]),
    ):
        words = shlex.split(hint)[2:]
        assert words == expected
        assert values_for_hydra(words) == expected


def test_a_command_of_a_sweep_names_the_sweep(directory):
    write_text(directory / "sweep.json", "{}")
    with pytest.raises(ValueError, match="holds a sweep") as refused:
        claim(directory)
    (hint,) = re.findall("`(.*)`", str(refused.value))
    assert shlex.split(hint) == ["python", "-m", "deepdraw.sweep", "resume", str(directory)]


@pytest.fixture
def unrecorded(directory) -> Path:
    """A sweep of Hydra's own launcher with a nested hydra.sweep.subdir, one job of which has no result."""
    write_text(directory / "multirun.yaml", "hydra: {overrides: {task: ['optimizer.lr=1e-3,1e-2', seed=1]}}")
    for number, (rate, value) in enumerate((("1e-3", 0.5), ("1e-2", 0.75), ("1e-1", None))):
        run = directory / f"rates/lr={rate},seed=1/{number}"
        write_text(run / "config.yaml", "objective: val/top1")
        task = f"['optimizer.lr={rate}', seed=1]"
        write_text(run / ".hydra/hydra.yaml", f"hydra: {{job: {{num: {number}}}, overrides: {{task: {task}}}}}")
        write_text(run / "metrics.csv", "epoch,step,val/top1\n1,5,0.25\n")
        if value is not None:
            write_text(run / "summary.json", f'{{"val/top1": {value}, "test/top1": {value}}}')
    return directory


def test_a_sweep_of_hydras_own_launcher_is_shown_collected_and_resumed(unrecorded, capsys):
    assert main(["status", str(unrecorded)]) == 0
    assert "2 COMPLETED, 1 STOPPED" in capsys.readouterr().out
    assert main(["collect", str(unrecorded)]) == 1  # as one job has no result
    rows = (unrecorded / "results.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows] == [
        ["job", "optimizer.lr"],
        ["1", "1e-2"],
        ["0", "1e-3"],
        ["2", "1e-1"],
    ]
    assert (unrecorded / "results.png").is_file()
    capsys.readouterr()
    assert main(["resume", str(unrecorded)]) == 1
    told = capsys.readouterr().err
    words = shlex.split(told.partition("its command goes on with it: ")[2])
    expected = ["optimizer.lr=1e-3,1e-2", "seed=1", f"hydra.sweep.dir={unrecorded}"]
    assert words == ["python", "train.py", "-m", *expected]
    assert OverridesParser.create().parse_override(quote_paths(words[3:])[-1]).value() == str(unrecorded)
