"""ckpt=hf-hub:OWNER/NAME: every command reads a checkpoint of the hub, and nothing else of its repository."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import file_download

import deepdraw
from deepdraw.inference.predict import main as predict
from deepdraw.runtime import HUB_CHECKPOINT
from deepdraw.training.checkpoint import load_checkpoint, save_checkpoint
from tests.hub import Repositories, hub
from tests.refusals import refusal

SQUARE = [[[0, 255, 255, 0, 0], [0, 0, 255, 255, 0]]]
SMALL = ["data.num_workers=0", "features.dir=null", "pictures=false"]


@pytest.fixture
def server(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repositories]:
    """A hub with someone's network, beside which there is code, and a tag of its first version."""
    content = (trained / "checkpoints/best.pt").read_bytes()
    with hub(monkeypatch, tmp_path / "cache") as repositories:
        repositories.commit("someone/network", {HUB_CHECKPOINT: content}, tag="v1")
        repositories.commit("someone/network", {HUB_CHECKPOINT: content, "modeling.py": b"raise SystemExit('ran')"})
        repositories.commit("someone/empty", {"README.md": b"# nothing"})
        yield repositories


@pytest.fixture
def drawings(tmp_path: Path) -> Path:
    path = tmp_path / "drawings.ndjson"
    path.write_text(json.dumps({"word": "square", "key_id": "1", "drawing": SQUARE}) + "\n")
    return path


@pytest.mark.parametrize("address", ["hf-hub:someone/network", "hf-hub:someone/network@v1"])
def test_load_reads_the_checkpoint_alone_and_its_cache_where_the_hub_does_not_answer(
    address, server, trained, monkeypatch
):
    guesses = deepdraw.load(address).predict([SQUARE], top=3)
    assert guesses == deepdraw.load(trained).predict([SQUARE], top=3)
    fetched = [line.partition("/resolve/")[2] for line in server.asked if "/resolve/" in line]
    assert set(fetched) == {f"{address.partition('@')[2] or 'main'}/{HUB_CHECKPOINT}"}
    server.files.clear()
    monkeypatch.setattr("deepdraw.runtime.hub._answers", lambda url: False)
    assert deepdraw.load(address).predict([SQUARE], top=3) == guesses


def test_predict_takes_the_address(server, trained, drawings, capsys):
    predict(["ckpt=hf-hub:someone/network", f"input={drawings}", "top=1"])
    of_the_hub = capsys.readouterr().out
    predict([f"ckpt={trained}", f"input={drawings}", "top=1"])
    assert of_the_hub == capsys.readouterr().out


def test_evaluate_takes_the_address_and_writes_into_out(server, evaluate, trained, tmp_path, capsys):
    evaluate("hf-hub:someone/network", f"out={tmp_path / 'out'}")
    metrics = json.loads((tmp_path / "out/evaluations/test.json").read_text())
    assert metrics["test/top1"] == deepdraw.evaluate(trained, overrides=SMALL)["test/top1"]
    assert metrics["checkpoint"].endswith(HUB_CHECKPOINT)
    with pytest.raises(ValueError, match="lies in no run directory: say by out=DIR"):
        deepdraw.evaluate("hf-hub:someone/network", overrides=SMALL)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hf-hub:someone/empty", f"ckpt=hf-hub:someone/empty has no {HUB_CHECKPOINT}, so deepdraw did not export it"),
        ("hf-hub:someone/gone", "correct ckpt=hf-hub:someone/gone, or log in"),
        ("hf-hub:someone/network@v9", "correct ckpt=hf-hub:someone/network@v9, or log in"),
        ("hf-hub:someone", "ckpt=hf-hub:someone names no repository: write hf-hub:OWNER/NAME"),
        ("hf-hub:some--one/..", "ckpt=hf-hub:some--one/.. names no repository"),
        ("hf-hub:../../etc/passwd", "names no repository"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(server, drawings, address, said):
    assert said in refusal(predict, [f"ckpt={address}", f"input={drawings}"])


def test_a_strangers_checkpoint_of_the_hub_runs_no_code(server, trained, tmp_path):
    path = trained / "checkpoints/best.pt"
    content = load_checkpoint(path)
    content["config"]["head"] = {"_target_": "os.system", "command": f"touch {tmp_path / 'made'}"}
    save_checkpoint(path, content)
    server.commit("someone/hostile", {HUB_CHECKPOINT: path.read_bytes()})
    server.commit("someone/damaged", {HUB_CHECKPOINT: path.read_bytes()[:-1000]})
    with pytest.raises(ValueError, match=r"foreign _target_ 'os.system' for head"):
        deepdraw.load("hf-hub:someone/hostile")
    with pytest.raises(ValueError, match="is cut short, damaged or holds code"):
        deepdraw.load("hf-hub:someone/damaged")
    assert not (tmp_path / "made").exists()


def test_a_file_larger_than_any_checkpoint_is_not_fetched(server):
    server.sizes[HUB_CHECKPOINT] = 1 << 40
    with pytest.raises(ValueError, match="more than the 68,719,476,736 that it may have"):
        deepdraw.load("hf-hub:someone/network")
    assert not [line for line in server.asked if line.startswith("GET") and "/resolve/" in line]


def test_a_cache_that_cannot_be_written_and_a_hub_that_fails_are_told_apart(server, trained, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    with monkeypatch.context() as full:
        full.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "file/cache"))
        if hasattr(file_download, "HF_HUB_CACHE"):
            full.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "file/cache"))
        with pytest.raises(ValueError, match="free .*file/cache, or set HF_HOME to another folder"):
            deepdraw.load("hf-hub:someone/network")
    server.refused["GET /someone/network/resolve"] = 500
    with pytest.raises(ValueError, match="try again later, or correct ckpt=hf-hub:someone/network"):
        deepdraw.load("hf-hub:someone/network")
