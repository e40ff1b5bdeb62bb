"""Where a drawing goes depends on its key id, and on nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepdraw.data.quickdraw.categories import CATEGORIES, KAGGLE, SEEN, UNSEEN, check_category
from deepdraw.data.quickdraw.splits import (
    SPLIT_RULES,
    SPLITS,
    assign_90_5_5,
    assign_original,
    assign_quickdraw414k,
    select,
)
from deepdraw.drawings.packed import Drawings

many_key_ids = st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=200)
PROPORTIONS = {
    assign_original: (0.75, 0.05, 0.20),
    assign_quickdraw414k: (10 / 12, 1 / 12, 1 / 12),
    assign_90_5_5: (0.90, 0.05, 0.05),
}


def drawings(num: int, seed: int) -> Drawings:
    key_ids = np.random.default_rng(seed).integers(0, 2**64, num, np.uint64)
    return Drawings.pack([[[[0, 0]]]] * num, np.zeros(num), key_ids)


@pytest.mark.parametrize("assign", PROPORTIONS)
@given(many_key_ids, st.randoms(use_true_random=False))
def test_a_drawing_goes_where_its_key_id_says_whatever_stands_around_it(assign, key_ids, random):
    alone = {key_id: assign(np.array([key_id], np.uint64))[0] for key_id in key_ids}
    random.shuffle(key_ids)
    some = np.array(key_ids[: len(key_ids) // 2], np.uint64)
    assert assign(some).tolist() == [alone[key_id] for key_id in some.tolist()]


@pytest.mark.parametrize("assign", PROPORTIONS)
@pytest.mark.parametrize("first", [0, 4_503_599_627_370_496, 2**64 - 200_000])
def test_proportions_hold_for_consecutive_key_ids_too(assign, first):
    num = 200_000
    places = assign(np.arange(num, dtype=np.uint64) + np.uint64(first))
    assert places.dtype == np.int8
    for place, proportion in enumerate(PROPORTIONS[assign]):
        four_sigma = 4 * np.sqrt(proportion * (1 - proportion) / num)
        assert np.mean(places == place) == pytest.approx(proportion, abs=four_sigma)


@given(many_key_ids, st.integers(0, 250))
def test_what_is_selected_for_n_is_selected_for_one_more(key_ids, n):
    key_ids = np.array(key_ids, np.uint64)
    fewer, more = select(key_ids, n), select(key_ids, n + 1)
    assert fewer.sum() == min(n, len(key_ids))
    assert not (fewer & ~more).any()


@given(many_key_ids, st.integers(0, 250), st.randoms(use_true_random=False))
def test_selection_does_not_depend_on_order(key_ids, n, random):
    def chosen() -> set[int]:
        ids = np.array(key_ids, np.uint64)
        return set(ids[select(ids, n)].tolist())

    before = chosen()
    random.shuffle(key_ids)
    assert chosen() == before


@pytest.mark.parametrize("assign", PROPORTIONS)
def test_selection_knows_nothing_of_the_split(assign):
    key_ids = np.arange(100_000, dtype=np.uint64)
    chosen = assign(key_ids[select(key_ids, 20_000)])
    for place, proportion in enumerate(PROPORTIONS[assign]):
        assert np.mean(chosen == place) == pytest.approx(proportion, abs=0.012)


def test_the_official_names_are_345_of_which_70_are_unseen(shared):
    quickdraw = shared / "data/quickdraw"
    assert sorted((quickdraw / "categories.txt").read_text().splitlines()) == list(CATEGORIES)
    assert sorted((quickdraw / "zeroshot.txt").read_text().splitlines()) == list(UNSEEN)
    assert (len(CATEGORIES), len(UNSEEN), len(SEEN)) == (345, 70, 275)


def test_a_name_that_is_no_category_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'aircraft carrier'"):
        check_category("aircraft carier", "x.bin")


def test_original_shares_the_seen_categories_among_three_splits_and_keeps_the_unseen_apart():
    parts = {name: drawings(200, seed) for seed, name in enumerate(["zebra", "yoga", "airplane", "ambulance"])}
    splits = SPLIT_RULES["original"](parts)
    assert list(splits) == [*SPLITS, "zeroshot"]
    assert {splits[name][0] for name in SPLITS} == {("yoga", "zebra")}
    assert splits["zeroshot"][0] == ("airplane", "ambulance")
    for classes, part in splits.values():
        for key_id, label in zip(part.key_ids.tolist(), part.labels.tolist(), strict=True):
            assert key_id in parts[classes[label]].key_ids
    assert sum(len(part) for _, part in splits.values()) == 800


def test_quickdraw414k_keeps_at_most_1000_100_100_of_a_category():
    splits = SPLIT_RULES["quickdraw414k"]({"cat": drawings(5000, 0), "airplane": drawings(240, 1)})
    counts = {name: np.bincount(part.labels).tolist() for name, (_, part) in splits.items()}
    assert {name: count[1] for name, count in counts.items()} == {"train": 1000, "val": 100, "test": 100}
    assert sum(count[0] for count in counts.values()) == 240


def test_quickdraw10k_divides_at_most_10000_of_a_category():
    parts = {"cat": drawings(12_000, 0), "airplane": drawings(240, 1)}
    splits = SPLIT_RULES["quickdraw10k"](parts)
    assert list(splits) == list(SPLITS)
    counts = {name: np.bincount(part.labels).tolist() for name, (_, part) in splits.items()}
    assert [sum(count[label] for count in counts.values()) for label in (0, 1)] == [240, 10_000]
    assert abs(counts["train"][1] - 9000) < 4 * 30
    fewer = {"cat": parts["cat"].take(np.flatnonzero(select(parts["cat"].key_ids, 500)))}
    for name, (_, part) in SPLIT_RULES["quickdraw10k"](fewer).items():
        assert set(part.key_ids.tolist()) <= set(splits[name][1].key_ids.tolist())


def test_kaggle340_takes_all_categories_but_five_and_divides_them_as_quickdraw10k_does():
    assert len(KAGGLE) == 340
    assert set(CATEGORIES) - set(KAGGLE) == {"aircraft carrier", "knife", "lighter", "rifle", "syringe"}
    parts = {"cat": drawings(300, 0), "rifle": drawings(300, 1), "zebra": drawings(300, 2)}
    splits = SPLIT_RULES["kaggle340"](parts)
    assert all(classes == ("cat", "zebra") for classes, _ in splits.values())
    kept = SPLIT_RULES["quickdraw10k"]({name: parts[name] for name in ("cat", "zebra")})
    for name, (_, part) in splits.items():
        assert part.key_ids.tolist() == kept[name][1].key_ids.tolist()


def test_a_split_without_drawings_is_not_there():
    assert SPLIT_RULES["original"]({"airplane": drawings(10, 0)}).keys() == {"zeroshot"}
