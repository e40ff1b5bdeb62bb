import json
from pathlib import Path

import numpy as np
import pytest

from deepdraw.data.doodles.source import PROGRAMS, SEEN, UNSEEN, draw, draw_all, open_doodles
from deepdraw.data.shards import write_shards
from deepdraw.drawings.packed import Drawings

PER_CLASS = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "doodles"
    open_doodles(str(root), per_class=PER_CLASS, seed=0)
    return root


def as_bytes(strokes: list[np.ndarray]) -> bytes:
    return b"|".join(stroke.tobytes() for stroke in strokes)


def files(root: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.iterdir()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_doodle_has_the_form_of_an_official_simplified_drawing(name: str) -> None:
    drawings = draw_all([name], 20, seed=0)
    for index in range(20):
        strokes = drawings.strokes(index)
        assert all(stroke.dtype == np.uint8 and stroke.ndim == 2 and len(stroke) >= 2 for stroke in strokes)
        points = np.concatenate(strokes)
        # Official drawings, too, may lose the outermost point to the simplification, by at most its epsilon.
        assert (points.min(axis=0) <= 2).all()
        assert points.max() >= 253


@pytest.mark.parametrize("name", ["line", "circle", "square", "triangle", "snowman"])
def test_two_doodles_of_a_kind_are_never_alike(name: str) -> None:
    drawings = draw_all([name], 400, seed=0)
    assert len({as_bytes(drawings.strokes(index)) for index in range(400)}) == 400


def test_seed_and_index_determine_a_doodle() -> None:
    assert as_bytes(draw("house", 3, 7)) == as_bytes(draw("house", 3, 7))
    assert as_bytes(draw("house", 3, 7)) != as_bytes(draw("house", 4, 7))


def test_what_is_drawn_at_an_index_does_not_depend_on_how_many_are_drawn() -> None:
    few, many = draw_all(["star", "fish"], 2, seed=0), draw_all(["fish"], 5, seed=0)
    for index in range(2):
        assert as_bytes(few.strokes(2 + index)) == as_bytes(many.strokes(index)) == as_bytes(draw("fish", 0, index))
        assert few.key_ids[2 + index] == many.key_ids[index]


def test_key_ids_differ_between_indices_classes_and_seeds() -> None:
    ids = np.concatenate([draw_all(["line", "circle"], 20, seed).key_ids for seed in range(2)])
    assert len(np.unique(ids)) == 80


def test_there_are_40_seen_and_8_unseen_classes_and_none_is_both() -> None:
    assert (len(SEEN), len(UNSEEN)) == (40, 8)
    assert not set(SEEN) & set(UNSEEN)


def test_seen_and_unseen_mean_what_they_mean_for_quickdraw(shared: Path) -> None:
    categories = (shared / "data/quickdraw/categories.txt").read_text().splitlines()
    unseen = (shared / "data/quickdraw/zeroshot.txt").read_text().splitlines()
    assert set(SEEN) <= set(categories) - set(unseen)
    assert set(UNSEEN) <= set(unseen)


def test_splits_hold_every_doodle_once(made: Path) -> None:
    shards = open_doodles(str(made), per_class=PER_CLASS, seed=0)
    assert sorted(shards.splits) == ["test", "train", "val", "zeroshot"]
    ids = [block.key_ids for name in shards.splits for block in shards.split(name)]
    assert shards.split("train").classes == shards.split("test").classes == SEEN
    assert shards.split("zeroshot").classes == UNSEEN
    assert len(np.unique(np.concatenate(ids))) == PER_CLASS * len(PROGRAMS)


def test_opening_again_writes_nothing(made: Path) -> None:
    before = files(made)
    open_doodles(str(made), per_class=PER_CLASS, seed=0)
    assert files(made) == before
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_the_same_settings_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    open_doodles(str(tmp_path / "again"), per_class=PER_CLASS, seed=0)
    assert {name: data for name, (_, data) in files(tmp_path / "again").items()} == {
        name: data for name, (_, data) in files(made).items()
    }


@pytest.mark.parametrize("other", [{"per_class": PER_CLASS + 1, "seed": 0}, {"per_class": PER_CLASS, "seed": 1}])
def test_doodles_of_other_settings_are_refused_and_left_as_they_are(made: Path, other: dict[str, int]) -> None:
    before = files(made)
    with pytest.raises(ValueError, match=r"was made with (per_class=4|seed=0).*another folder.*split=.*/test"):
        open_doodles(str(made), **other)
    assert files(made) == before


def test_shards_of_other_drawings_are_never_to_be_removed(made: Path, tmp_path: Path) -> None:
    drawings = Drawings.pack([[np.zeros((2, 2), np.uint8)]], [0], [1])
    write_shards(tmp_path / "mine", {"test": (["cat"], drawings)}, metadata={"source": "/data/official"})
    with pytest.raises(ValueError, match="other drawings than doodles") as caught:
        open_doodles(str(tmp_path / "mine"), per_class=PER_CLASS, seed=0)
    assert f"split={tmp_path}/mine/test" in str(caught.value)
    assert not any(word in str(caught.value) for word in ("remove", "delete"))


@pytest.mark.parametrize("root", ["s3://bucket/doodles", "a file"])
def test_doodles_are_not_drawn_where_they_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    with pytest.raises(ValueError, match=r"^data\.root=(s3://bucket/doodles is an address|a file is a file)"):
        open_doodles(root, per_class=1, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    assert open_doodles(str(tmp_path), per_class=1, seed=0).splits


def test_a_directory_without_an_index_is_not_taken_for_doodles(tmp_path: Path) -> None:
    (tmp_path / "train-00000.tar").write_bytes(b"half a shard")
    with pytest.raises(ValueError, match=r"no index\.json.*set data\.root to another folder"):
        open_doodles(str(tmp_path), per_class=PER_CLASS, seed=0)


def test_a_run_that_dies_while_writing_leaves_nothing_to_be_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(root: Path, *_: object, **__: object) -> None:
        root.mkdir(exist_ok=True)
        (root / "train-00000.tar").write_bytes(b"half a shard")
        raise KeyboardInterrupt

    root = tmp_path / "doodles"
    with monkeypatch.context() as dying:
        dying.setattr("deepdraw.data.doodles.source.write_shards", die)
        with pytest.raises(KeyboardInterrupt):
            open_doodles(str(root), per_class=1, seed=0)
    assert not root.exists()
    assert open_doodles(str(root), per_class=1, seed=0).splits


def test_the_index_says_how_the_doodles_were_made(made: Path) -> None:
    index = json.loads((made / "index.json").read_text())
    assert (index["source"], index["per_class"], index["seed"]) == ("doodles", PER_CLASS, 0)


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="per_class=0 must be at least 1"):
        open_doodles(str(tmp_path / "doodles"), per_class=0, seed=0)
