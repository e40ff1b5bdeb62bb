"""Overrides whose values are paths mean what was typed, whatever characters are in them."""

import os
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from deepdraw.config import compose_config, expand_homes, quote_paths
from deepdraw.config.paths import quoted_word

PATHS = [
    *(
        "/a/my sketches (1), v=2",
        "/a/v=2",
        "/a/lr=0.1,wd=2/best.pt",
        "/jörg/日本/😀",
        "it's/here",
        'say "x"',
        "a&b;c|d",
    ),
    *("x#1!", "a[1]/{b}", "back\\slash\\", "trailing\\'", "100%", "a:b", "-x-", "..", "./(x)", "a  b"),
]


def value(word: str):
    return OverridesParser.create().parse_override(word).value()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["ckpt", "split", "data.root", "features.dir", "hydra.run.dir", "+data.root"])
def test_a_path_reads_as_it_was_typed(path, key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "," in path and key not in ("features.dir", "hydra.run.dir") and not path.startswith("/"):
        os.makedirs(path)
    (word,) = quote_paths([f"{key}={path}"])
    assert value(word) == path


@pytest.mark.parametrize("path", ["sketches, mine", "/tmp/a,b"])
def test_a_comma_belongs_to_a_path_that_is_there(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / path.strip("/").replace("/", "_"))
    assert OverridesParser.create().parse_override(*quote_paths([f"split={path}"])).is_sweep_override()
    os.makedirs(path)
    assert value(*quote_paths([f"split={path}"])) == path
    assert value(quote_paths(["-m", f"split={path}"])[1]) == path


def test_a_sweep_over_paths_stays_one():
    _, word = quote_paths(["-m", "data.root=~/a b,/c (1),d"])
    override = OverridesParser.create().parse_override(word)
    assert [getattr(one, "text", one) for one in override.value().list] == [os.path.expanduser("~/a b"), "/c (1)", "d"]


@pytest.mark.parametrize(
    "word",
    [
        *("backbone=clip", "optimizer.lr=1e-4,1e-3", "-m", "--config-dir=/a b", "split=test", "split=test,zeroshot"),
        *(
            "data.root='/a b'",
            'ckpt="x"',
            "features.dir=null",
            "interpolate=[0,0.5]",
            "~logger.wandb",
            "augment.shift=(1)",
        ),
        *("split=choice(test,train)", "split=", "", "data.root=data/quickdraw", "data.root=${oc.env:HOME}/x"),
    ],
)
def test_other_words_stay_as_they_are(word):
    assert quote_paths([word]) == [word]


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12))
@example("'\\'\\\\'")
@example("\\")
def test_a_quoted_word_reads_as_its_text_after_the_shell(text):
    (word,) = shlex.split(quoted_word(f"key={text}"))
    assert value(word) == text


def test_home_is_expanded_wherever_a_config_says_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = OmegaConf.create(
        {"ckpt": "~/a", "data": {"root": "~", "of": "${data.root}/x"}, "n": 1, "none": None, "must": "???", "x": "a~b"}
    )
    OmegaConf.set_struct(config, True)
    expand_homes(config)
    assert (config.ckpt, config.data.root, config.data.of) == (f"{tmp_path}/a", str(tmp_path), f"{tmp_path}/x")
    assert (config.n, config.none, config.x, OmegaConf.is_missing(config, "must")) == (1, None, "a~b", True)


def test_a_composed_config_takes_paths_as_they_are():
    config = compose_config("evaluate", ["ckpt=~/lr=0.1 (2)/best.pt", "split=/ü/my sketches (1), v=2"])
    assert config.ckpt == os.path.expanduser("~/lr=0.1 (2)/best.pt")
    assert config.split == "/ü/my sketches (1), v=2"


def test_an_unreadable_path_is_refused_with_how_to_quote_it():
    with pytest.raises(ValueError, match="cannot be read") as caught:
        compose_config("train", ["+my.note=a (1) b"])
    line = str(caught.value)
    assert "\n" not in line
    assert line.endswith("""if its value is one text, write "+my.note='a (1) b'\"""")
