"""report.html: one file that shows a run, in a real browser too."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from deepdraw.report.page import write_report
from deepdraw.report.pictures import write_pictures
from deepdraw.runtime.files import write_json


class Page(HTMLParser):
    """The tags of a page with their attributes, its links and all text outside of its style."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, text):
        if self.tags and self.tags[-1][0] != "style" and text.strip():
            self.words.append(" ".join(text.split()))

    def attributes(self, tag: str, name: str) -> list[str | None]:
        return [attributes[name] for found, attributes in self.tags if found == tag and name in attributes]


@pytest.fixture
def run(tmp_path) -> Path:
    directory = tmp_path / "outputs" / "<em>&run"
    write_json(
        directory / "summary.json",
        {"parameters": 698086, "seed": 42, "git_commit": "bca911120464e9d5-dirty", "test/top1": 0.75, "test/loss": 1.5},
    )
    (directory / "config.yaml").write_text("backbone:\n  name: <b>tiny</b>\ndata:\n  root: data/doodles\n")
    return directory


def test_a_run_that_was_only_trained_has_a_report(run):
    page = Page(write_report(run))
    for words in ("outputs/<em>&run", "<b>tiny</b>", "698,086", "bca9111204-dirty", "75.00 %", "1.5000"):
        assert words in page.words
    assert not {"script", "em", "b", "img"} & {tag for tag, _ in page.tags}


def test_the_header_says_which_encoder_frozen_how_far_was_trained_how_on_what_and_when(run):
    config = {
        "backbone": {"_target_": "deepdraw.models.backbones.OpenClipBackbone", "name": "ViT-L-14", "tag": "openai"}
        | {"pretrained": True, "image_size": 224},
        "freeze": {"_target_": "deepdraw.models.freezing.first", "n": 12},
        "head": {"_target_": "deepdraw.models.MLP", "hidden": [512], "dropout": 0.0},
        "optimizer": {"lr": 2e-3, "weight_decay": 0.05, "algorithm": {"_target_": "torch.optim.AdamW"}},
        "fit": {"_target_": "deepdraw.training.Loop"},
        "train": {"epochs": 7, "label_smoothing": 0.1},
        "data": {"root": "data/quickdraw", "batch_size": 96},
    }
    (run / "config.yaml").write_text(json.dumps(config))
    facts = {"drawings": {"train": 2000, "val": 300, "test": 400}, "classes": 275, "split_rule": "original"}
    facts |= {"parameters": 1000, "trainable_parameters": 250, "learning_rates": {"lr": 2e-3, "backbone_lr": 2e-5}}
    facts |= {"date": "2026-11-30T04:46:12+01:00", "duration": 3725.2, "command": "python train.py freeze=first12"}
    write_json(run / "summary.json", {"recognition": "all", "test/top1": 0.5, **facts})
    words = Page(write_report(run)).words
    for title, fact in {
        "encoder": "ViT-L-14",
        "weights": "pretrained, tag openai",
        "frozen": "first (n=12)",
        "of them trained": "250 (25 %)",
        "head": "MLP (hidden=[512], dropout=0.0)",
        "optimizer": "AdamW, weight_decay=0.05",
        "learning rates": "lr 0.002, backbone_lr 2e-05",
        "label smoothing": "0.1",
        "drawings": "2,000 train, 300 val, 400 test",
        "split rule": "original",
        "recognized or all": "all",
        "finished": "2026-11-30 04:46:12+01:00",
        "duration": "1 h 02 min",
        "command": "python train.py freeze=first12",
    }.items():
        assert words[words.index(title) + 1] == fact


@pytest.mark.parametrize(
    "broken", ["[]", "3", "backbone: 3", "data: {root: {}}", "optimizer: {lr: {}}", "fit: {_target_: 3}"]
)
def test_a_config_of_another_form_leaves_facts_out(run, broken):
    (run / "config.yaml").write_text(broken)
    try:
        write_report(run)
    except ValueError as error:
        assert "config.yaml" in str(error)


def test_terms_that_a_report_uses_are_explained_and_no_others(run):
    words = Page(write_report(run)).words
    assert {"top-k", "negative log-likelihood"} <= set(words)
    assert "harmonic mean" not in words


def test_a_directory_without_a_run_has_none(tmp_path):
    with pytest.raises(ValueError, match="give the directory of a run"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_splits_follow_each_other_and_bear_their_numbers_and_pictures(run, few_pictures):
    for split in ("val", "my_folder", "zeroshot", "test"):
        metrics = {f"{split}/top1": 0.5, f"{split}/top1_low": 0.48, f"{split}/top1_high": 0.52}
        write_json(run / f"evaluations/{split}.json", metrics)
    shutil.copytree(few_pictures, run / "evaluations/zeroshot")
    page = Page(write_report(run))
    assert page.attributes("section", "id") == ["test", "zeroshot", "val", "my_folder", "terms", "configuration"]
    assert {f"#{split}" for split in ("test", "zeroshot", "val", "my_folder")} == set(page.attributes("a", "href"))
    assert "48.00 to 52.00 %" in page.words
    assert len(page.attributes("img", "src")) == len(list(few_pictures.iterdir()))
    assert all(page.attributes("img", "alt"))
    assert "script" not in {tag for tag, _ in page.tags}


@pytest.mark.parametrize("said", ["recognized", "all", "unknown", "<b>", None])
def test_every_split_says_whether_its_drawings_were_recognized(run, said):
    told = {} if said is None else {"recognition": said}
    write_json(run / "evaluations/test.json", {"test/top1": 0.5, **told})
    expected = said if said in ("recognized", "all") else "unknown"
    assert f"drawings, recognized or all: {expected}" in Page(write_report(run)).words


def test_the_harmonic_mean_is_the_headline_of_seen_and_unseen(run):
    metrics = {"top1": 0.6, "harmonic_mean": 0.444}
    write_json(run / "evaluations/generalized.json", {f"generalized/{k}": v for k, v in metrics.items()})
    words = Page(write_report(run)).words
    assert words[words.index("generalized") + 1] == "44.40 %"


def test_nothing_is_fetched_from_elsewhere(run, few_pictures):
    shutil.copytree(few_pictures, run / "evaluations/test")
    page = Page(write_report(run))
    addresses = [*page.attributes("img", "src"), *page.attributes("link", "href"), *page.attributes("a", "href")]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "url(" not in (run / "report.html").read_text("utf-8")


def test_a_browser_draws_the_report_of_345_classes(run, made_up, scribble, chromium):
    evaluation = made_up()
    write_json(run / "evaluations/test.json", {f"test/{name}": value for name, value in evaluation.metrics.items()})
    write_pictures(evaluation, scribble, run / "evaluations/test")
    path = write_report(run)
    complaints: list[str] = []
    for width in (1280, 400):
        page = chromium.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"not found: {request.url[:80]}"))
        page.goto(path.as_uri(), wait_until="load")
        widths = page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
        milliseconds = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        print(f"{path.stat().st_size / 1e6:.1f} MB loaded in {milliseconds:.0f} ms at {width} pixels")
        assert len(widths) == len(list((run / "evaluations/test").iterdir()))
        assert min(widths) > 100
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
    assert path.stat().st_size < 10e6


def test_the_most_shots_of_the_first_method_are_the_headline_of_few_shot(run):
    metrics = {
        "drawings": 350,
        "chance": 0.014,
        "knn_5shot_top1": 0.4,
        "whitened_1shot_top1": 0.3,
        "whitened_5shot_top1": 0.622,
    }
    write_json(run / "evaluations/zeroshot.json", {f"zeroshot/{k}": v for k, v in metrics.items()})
    words = Page(write_report(run)).words
    assert words[words.index("zeroshot") + 1] == "62.20 %"


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9])
def test_an_incomplete_picture_is_left_out_with_a_message(run, capsys, kept):
    from PIL import Image

    for name in ("whole", "half"):
        (run / "plots").mkdir(exist_ok=True)
        Image.effect_noise((64, 64), 80).save(run / f"plots/{name}.png")
    half = run / "plots/half.png"
    half.write_bytes(half.read_bytes()[: int(kept * half.stat().st_size)])
    page = Page(write_report(run))
    assert len(page.attributes("img", "src")) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "half.png" in line]
    assert line.startswith(f"{half} is no whole PNG and is left out of the report")
