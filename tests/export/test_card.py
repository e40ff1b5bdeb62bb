"""The model card: what is known of a checkpoint, computed by nobody anew, and nothing in it is read as markup."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import deepdraw
from deepdraw.evaluation.predictions import Predictions
from deepdraw.export.background import read_background, without_folders
from deepdraw.export.card import Sheet, model_card
from deepdraw.export.markdown import code, escaped, table
from deepdraw.inference.trained import rebuild
from deepdraw.runtime import shown

SHEET = Sheet("import deepdraw", ["the same"], license="cc-by-4.0")
SMALL = ["data.num_workers=0", "features.dir=null", "pictures=false"]
markdown = MarkdownIt("commonmark", {"html": True}).enable("table")


class Page(HTMLParser):
    """The tags of a page, and the text of each cell of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self._in_cell = False
        self.feed(markdown.render(text))

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self._in_cell = tag == "td" or (self._in_cell and tag != "th")
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag != "td"

    def handle_data(self, data):
        if self._in_cell:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def evaluated_once(trained_once, tmp_path_factory) -> Path:
    run = shutil.copytree(trained_once, tmp_path_factory.mktemp("evaluated") / "run")
    deepdraw.evaluate(run, overrides=SMALL)
    return run


@pytest.fixture
def evaluated(evaluated_once, tmp_path) -> Path:
    """A run that was evaluated on its split test."""
    return shutil.copytree(evaluated_once, tmp_path / "evaluated")


def card_of(run: Path, name: str = "best.pt") -> str:
    trained = rebuild(run / "checkpoints" / name, device="cpu")
    return model_card(trained, read_background(trained), SHEET)


def test_it_says_how_the_network_was_trained_and_its_results_with_intervals(evaluated):
    trained, _, results = card_of(evaluated).partition("## Results")
    told = Page(trained).cells
    facts = dict(zip(told[::2], told[1::2], strict=True))
    summary = json.loads((evaluated / "summary.json").read_text())
    counts = summary["drawings"]
    assert facts["drawings"] == f"{counts['train']:,} train, {counts['val']:,} val, {counts['test']:,} test"
    assert facts.get("split rule") == summary.get("split_rule")
    assert facts.get("recognized or all") == summary.get("recognition")
    metrics = json.loads((evaluated / "evaluations/test.json").read_text())
    cells = Page(results).cells
    place = cells.index("top-1")
    low, high = (100 * metrics[f"test/top1_{end}"] for end in ("low", "high"))
    assert cells[place + 1] == f"{100 * metrics['test/top1']:.2f} %"
    assert cells[place + 2] == f"{low:.2f} to {high:.2f} %"


def test_results_that_nobody_computed_are_not_there(trained):
    (trained / "evaluations/test.json").unlink(missing_ok=True)
    text = card_of(trained)
    assert "95 % interval" not in text
    assert "Without intervals, which `evaluate.py` computes." in text


def test_where_it_errs_most_is_counted_from_the_predictions(evaluated):
    predictions = Predictions.load(evaluated / "evaluations/test.predictions.npz")
    labels, predicted = predictions.labels.copy(), predictions.labels.copy()
    predicted[labels == 1] = 2  # each square is read as an octagon
    ranks = (labels != predicted).astype(np.uint16)
    replace(predictions, predicted=predicted, ranks=ranks).save(evaluated / "evaluations/test.predictions.npz")
    number = int((labels == 1).sum())
    cells = Page(card_of(evaluated).partition("## Where it errs most")[2]).cells
    assert cells[:6] == ["square", "octagon", f"{number} of {number}", "square", "0.00 %", str(number)]


def test_results_of_other_weights_are_left_out(evaluated):
    path = evaluated / "evaluations/test.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"checkpoint_sha256": "0" * 64}))
    text = card_of(evaluated)
    assert "None is known" in text
    assert "## Where it errs most" not in text
    assert "None is known" in card_of(evaluated, "last.pt")


def test_the_head_is_what_the_hub_reads(evaluated):
    data = ModelCard(card_of(evaluated)).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("cc-by-4.0", "deepdraw", "image-classification")
    metrics = json.loads((evaluated / "evaluations/test.json").read_text())
    assert {one.metric_type: one.metric_value for one in data.eval_results} == {
        "accuracy": metrics["test/top1"],
        "f1": metrics["test/macro_f1"],
    }


def test_no_folder_of_the_machine_is_in_it(evaluated, polygon_root):
    text = card_of(evaluated)
    assert str(polygon_root) not in text
    assert str(polygon_root.parent) not in text
    assert str(evaluated) not in text


def test_a_checkpoint_that_lies_in_no_run_has_a_card_of_its_config(evaluated, tmp_path):
    alone = tmp_path / "alone"
    (alone / "checkpoints").mkdir(parents=True)
    shutil.copy(evaluated / "checkpoints/best.pt", alone / "checkpoints/best.pt")
    text = card_of(alone)
    assert "None is known" in text
    assert "triangle, square, octagon" in text


@pytest.mark.parametrize("file", ["summary.json", "evaluations/test.json", "evaluations/test.predictions.npz"])
def test_a_damaged_file_of_the_run_is_named(evaluated, file):
    (evaluated / file).write_bytes(b"{")
    with pytest.raises(ValueError, match=re.escape(file)) as refused:
        card_of(evaluated)
    assert "\n" not in str(refused.value)


HOSTILE = [
    "<script>alert(1)</script>",
    "| a | b |\n\n# heading",
    "[click](javascript:alert(1))",
    "![x](http://127.0.0.1/x.png)",
    "`code` *bold* _italic_ ~~gone~~",
    "&lt;b&gt; \\",
    "www.example.com a@example.com https://example.com",
    "---",
    "1. one",
]


def test_names_of_classes_are_shown_and_not_read(trained):
    loaded = rebuild(trained / "checkpoints/best.pt", device="cpu")
    for start in range(0, len(HOSTILE), 3):
        names = HOSTILE[start : start + 3]
        text = model_card(replace(loaded, classes=names), read_background(loaded), SHEET)
        plain = html.unescape(re.sub(r"<[^>]*>", "", markdown.render(text.partition("## Classes")[2])))
        assert plain.strip() == f"It knows: {', '.join(' '.join(shown(name).split()) for name in names)}."
        _, _, body = text.partition("\n---\n")  # without the head
        assert Page(body).tags <= {"h1", "h2", "p", "pre", "code", "table", "thead", "tbody", "tr", "th", "td"}


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.sampled_from(HOSTILE))
def test_any_text_is_a_cell_of_a_table_as_it_is(text, other):
    page = Page("\n".join(table(("name", "other"), [(text, other + text)])))
    expected = [" ".join(shown(cell).split()) for cell in (text, other + text)]
    assert [cell.strip() for cell in page.cells] == expected
    assert page.tags == {"table", "thead", "tbody", "tr", "th", "td"}


@given(st.text(alphabet="`~ab\n", max_size=30))
def test_no_text_ends_a_block_of_code(text):
    assert "after" in re.sub(r"(?s)<pre>.*</pre>", "", markdown.render("\n".join([*code(text), "", "after"])))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python train.py data.root=/home/me/sketches lr=1", "python train.py data.root=sketches lr=1"),
        ("/a/b c", "b c"),
        ("~/weights/clip.pth", "clip.pth"),
        ("~me/weights/clip.pth", "clip.pth"),
        ("C:\\Users\\me\\clip.pth", "clip.pth"),
        ("'/home/me/my data/x'", "'my data/x'"),
        ("outputs/run", "outputs/run"),
        ("1/2", "1/2"),
        ("hf-hub:a/b", "hf-hub:a/b"),
        ("https://example.com/a/b", "https://example.com/a/b"),
    ],
)
def test_folders_are_taken_out_of_what_is_handed_on(text, expected):
    assert without_folders({"a": [text]}) == {"a": [expected]}


def test_escaped_text_is_one_short_line():
    assert "\n" not in escaped("a\nb\u2028c")
    assert len(escaped("a" * 10_000)) == 600
