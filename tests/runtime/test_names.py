"""Which names are taken for one, what is suggested for a name that is unknown, and what a path leads to."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepdraw.data.quickdraw import CATEGORIES
from deepdraw.runtime import (
    did_you_mean,
    existing_file,
    existing_folder,
    existing_path,
    fold_name,
    nearest_names,
    possible_folder,
)


@pytest.mark.parametrize(
    "names",
    [
        (
            "hot dog",
            "Hot Dog",
            "HOT_DOG",
            "hot-dog",
            "hotdog",
            "hot\u2013dog",
            "hot\u00a0dog",
            "hot  dog",
            "\ufeffhot dog",
        ),
        ("café", "CAFÉ", unicodedata.normalize("NFD", "café"), unicodedata.normalize("NFD", "Café")),
        ("straße", "STRASSE"),
        ("t-shirt", "T Shirt", "tshirt", "t\u2010shirt"),
        ("１", "1"),  # noqa: RUF001  # a full-width digit
    ],
)
def test_names_are_one_in_any_case_form_and_with_any_separators(names):
    assert len({fold_name(name) for name in names}) == 1


def test_names_that_differ_otherwise_stay_apart():
    assert len({fold_name(name) for name in CATEGORIES}) == 345
    assert len({fold_name(name) for name in ("c", "c++", "c#", "-", "_", "", "cat", "cat2", "äpfel", "apfel")}) == 10


@given(st.text(max_size=12))
def test_folding_twice_changes_nothing(name):
    assert fold_name(fold_name(name)) == fold_name(name)


def test_the_nearest_name_is_suggested_and_never_one_far_off_or_the_same():
    assert did_you_mean("Cta", ["dog", "cat", "cart"], "{!r}") == "did you mean 'cat'?"
    assert did_you_mean("HOT_DOG", ["hot tub", "hot dog"]) == "did you mean hot dog?"
    assert did_you_mean("cat", ["cat"]) == ""
    assert did_you_mean("xylophone", ["cat", "dog"]) == ""
    assert did_you_mean("star", ["square", "circle"]) == did_you_mean("x", []) == ""
    assert set(nearest_names("val/top", ["val/top1", "val/top5", "seconds"], 3)) == {"val/top1", "val/top5"}
    assert nearest_names("cat", ["Cat", "cats", "cat"], 1) == ["Cat"]


@given(st.text(max_size=8), st.lists(st.text(max_size=8), max_size=5))
def test_a_suggestion_is_always_another_of_the_choices(name, choices):
    assert set(nearest_names(name, choices, 3)) <= {*choices} - {name}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my sketches (1), v=2").mkdir()
    (tmp_path / "cat.png").touch()
    return tmp_path


def test_what_is_there_is_found_by_any_name_also_from_home(home):
    assert existing_folder("~/my sketches (1), v=2") == home / "my sketches (1), v=2"
    assert existing_file("~/cat.png") == existing_path(home / "cat.png") == home / "cat.png"
    assert existing_path("~") == existing_folder("~") == possible_folder("~") == home
    assert possible_folder("~/new") == home / "new"


@pytest.mark.parametrize(
    ("call", "given", "message"),
    [
        (existing_folder, "~/cat.png", "key={home}/cat.png is a file and no folder: give the folder that holds it"),
        (possible_folder, "~/cat.png", "key={home}/cat.png is a file and no folder: give the folder that holds it"),
        (existing_file, "~/my sketches (1), v=2", "key={home}/my sketches (1), v=2 is a folder and no file: "),
        (existing_folder, "~/my_sketches (1), v=2", "is no folder: did you mean {home}/my sketches (1), v=2?"),
        (existing_path, "~/cta.png", "key={home}/cta.png does not exist: did you mean {home}/cat.png?"),
        (existing_path, "~/else", "key={home}/else does not exist: correct the path"),
        (existing_path, "~/no/cat.png", "does not exist: correct the path"),
        (existing_folder, "~/a\0b", "is no folder: check the path"),
        *(
            (
                call,
                f"{scheme}://bucket/x",
                f"key={scheme}://bucket/x is an address ({scheme}) and does not exist here: ",
            )
            for call in (existing_folder, existing_file, existing_path, possible_folder)
            for scheme in ("s3", "gs", "https")
        ),
    ],
)
def test_a_missing_path_is_refused_with_the_reason(home, call, given, message):
    with pytest.raises(ValueError, match=r"\S") as caught:
        call(given, "key=")
    assert message.format(home=home) in str(caught.value)


def test_a_folder_that_is_called_like_an_address_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("s3:/bucket")
    assert existing_folder("s3://bucket") == Path("s3:/bucket")
