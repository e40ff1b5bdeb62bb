"""Many drawings read at once are those that are read one by one, whatever a file holds."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepdraw.drawings import bulk
from deepdraw.drawings.bulk import Bulk, read_bulk
from deepdraw.drawings.files import Broken, read_sketches
from deepdraw.drawings.packed import Drawings

USUAL = '{"word":"cat","countrycode":"DE","recognized":true,"key_id":"12","drawing":[[[0,10,255],[7,8,9]],[[1],[2]]]}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-300, 300) | st.floats(allow_nan=True) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)
number = st.one_of(
    st.integers(0, 255),
    st.sampled_from([-1, 256, 10**30, 2.0, 2.5, float("nan"), "7", None, True, -0.0]),
)
array = st.lists(st.integers(0, 255), max_size=4) | st.lists(number, max_size=3)
stroke = st.one_of(
    array.flatmap(lambda xs: st.tuples(st.just(xs), st.lists(st.integers(0, 255), min_size=len(xs), max_size=len(xs)))),
    st.lists(array, max_size=4),
)
key_ids = st.one_of(
    st.integers(0, 2**64 + 5).map(str),
    st.integers(-5, 2**64 + 5),
    st.sampled_from(
        ["007", "", " 7", "7 ", "-3", "1e3", "\u0667", 1.0, True, None, "9" * 18, "9" * 19, "9" * 26, 10**18]
    ),
)
records = st.fixed_dictionaries(
    {"drawing": st.lists(stroke, max_size=3) | JSON},
    optional={
        "word": st.sampled_from(["cat", "cat", "dog", "Cat", "c\\u0061t", "cät", 3, None]),
        "recognized": st.sampled_from([True, False, None, 1, "true"]),
        "key_id": key_ids,
        "countrycode": st.text(max_size=2),
        "timestamp": st.integers() | st.floats() | st.text(max_size=3) | JSON,
        "é": JSON,
    },
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line of ndjson: a record, keys in any order, spaced in any way, perhaps changed somewhere."""
    record = draw(records)
    keys = draw(st.permutations(list(record)))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\r: "), (",", " :")]))
    text = json.dumps({key: record[key] for key in keys}, ensure_ascii=draw(st.booleans()), separators=separators)
    line = draw(st.sampled_from(["", " ", "\t", "\ufeff"])) + text + draw(st.sampled_from(["", " ", "\r", ",", "}"]))
    content = line.encode(errors="surrogatepass")
    if draw(st.booleans()):
        return content
    at, old = draw(st.integers(0, len(content))), draw(st.integers(0, 3))
    return content[:at] + draw(st.binary(max_size=3)).replace(b"\n", b"") + content[at + old :]


def all_read(items: Iterator[object]) -> tuple[list[object], str | None]:
    """What is read, and how reading ends if it fails."""
    found: list[object] = []
    try:
        found.extend(items)
    except ValueError as error:
        return found, str(error)
    return found, None


def assert_same(path: Path) -> None:
    """Hold what is read at once against what is read one by one."""
    (one_by_one, failed), (at_once, failed_at_once) = all_read(read_sketches(path)), all_read(read_bulk(path))
    assert failed == failed_at_once
    is_broken = [isinstance(item, Broken) for item in one_by_one]
    assert [item for item in at_once if isinstance(item, Broken)] == [
        item for item, broken in zip(one_by_one, is_broken, strict=True) if broken
    ]
    expected = Bulk.pack([item for item, broken in zip(one_by_one, is_broken, strict=True) if not broken])
    found = Bulk.concatenate([item for item in at_once if isinstance(item, Bulk)])
    for name in ("recognized", "num_empty_strokes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)
    for name in ("points", "stroke_lengths", "stroke_counts", "labels", "key_ids"):
        np.testing.assert_array_equal(getattr(found.drawings, name), getattr(expected.drawings, name), strict=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bulk")


@settings(deadline=None)  # the first call compiles
@given(st.lists(lines() | st.just(USUAL.encode()), max_size=6), st.booleans())
@example([b'{"drawing":[[[1],[2]]],"x"}', b'{"drawing":[[[1],[2]]],"drawing":}', b'{"drawing":[[[1],[2]]],}'], True)
@example([b'{"drawing":[[[01],[2]]]}', b'{"drawing":[[[1],[2]]]}{}', b'{"drawing":[[[1],[2]]],"key_id":1 2}'], False)
@example(
    [b'{"drawing":[[[1],[2]]],"drawing":[[[3],[4]]]}', b'{"a":1,"a":2,"drawing":[[[1],[2]]]}', b"", b" \x0b"], True
)
def test_lines_of_any_kind_are_read_alike(folder, content, ends):
    path = folder / "cat.ndjson"
    path.write_bytes(b"\n".join(content) + (b"\n" if ends else b""))
    assert_same(path)


@settings(deadline=None)
@given(st.integers(0, len(USUAL)), st.integers(0, 2), st.binary(max_size=2).filter(lambda new: b"\n" not in new))
def test_a_usual_line_with_one_change_is_read_alike(folder, at, old, new):
    path, usual = folder / "cat.ndjson", USUAL.encode()
    path.write_bytes(b"\n".join([usual, usual[:at] + new + usual[at + old :], usual]))
    assert_same(path)


def test_usual_lines_are_read_by_compiled_code_alone(folder, monkeypatch):
    """Otherwise all the other tests would hold a slow reader against itself."""
    path = folder / "cat.ndjson"
    path.write_text(f"{USUAL}\n" * 50 + USUAL.replace(",", ", ").replace(":", ": ").replace('"12"', "12") + "\n")
    monkeypatch.setattr(bulk, "read_line", None)
    monkeypatch.setattr(bulk, "read_sketches", None)
    (read,) = read_bulk(path)
    assert len(read.drawings) == 51


def record(key_id: int, recognized: int, strokes: list[bytes]) -> bytes:
    packed = struct.pack("<Q2sBIH", key_id, b"DE", recognized, 1, len(strokes))
    return packed + b"".join(struct.pack("<H", len(stroke) // 2) + stroke for stroke in strokes)


bin_records = st.builds(
    record,
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1, 1, 1, 1, 1, 2, 255]),
    st.lists(st.integers(0, 4).flatmap(lambda n: st.binary(min_size=2 * n, max_size=2 * n)), max_size=4),
)


@settings(deadline=None)
@given(st.lists(bin_records, max_size=8), st.integers(0, 12))
def test_records_are_read_alike_up_to_where_a_file_ends_or_does_not_parse(folder, content, cut):
    path = folder / "cat.bin"
    path.write_bytes(b"".join(content)[: -cut or None])
    assert_same(path)


@pytest.mark.parametrize("chunk", [1, 7, 100, 5000])
def test_pieces_of_a_file_may_end_anywhere(folder, monkeypatch, chunk):
    monkeypatch.setattr(bulk, "CHUNK", chunk)
    monkeypatch.setattr(bulk, "TOGETHER", 2)
    odd = ['{"drawing":[[[1.0,2],[3,4],[0,9]]]}', "{", "", '{"drawing":[]}', '{"drawing":[[[],[]]]}', "{}", " "]
    text = "\n".join([USUAL, *odd, USUAL, USUAL, *odd[2:], '{"drawing":[[[1],[3]]]}', USUAL])
    (path := folder / "cat.ndjson").write_text(text)
    assert_same(path)
    (path := folder / "cat.ndjson.gz").write_bytes(gzip.compress(text.encode()))
    assert_same(path)
    (path := folder / "cat.bin").write_bytes(record(2**63, 1, [b"12345678", b"", b"12"]) * 9 + b"123")
    assert_same(path)


@pytest.mark.parametrize("over", [-1, 0, 1, 10])
def test_a_line_or_record_that_is_too_long_is_refused_alike(folder, monkeypatch, over):
    monkeypatch.setattr("deepdraw.drawings.records.LARGEST", {"drawing": len(USUAL) + 1})
    monkeypatch.setattr(bulk, "LARGEST", {"drawing": len(USUAL) + 1})
    monkeypatch.setattr(bulk, "CHUNK", 50)
    longer = USUAL.replace("DE", "D" * (2 + over))
    (path := folder / "cat.ndjson").write_text(f"{USUAL}\n{longer}\n{USUAL}\n{' ' * 500}{USUAL}\n{longer}")
    assert_same(path)


def test_a_drawing_with_more_strokes_or_points_than_fit_is_broken(folder):
    content = [
        json.dumps({"drawing": [[[1], [2]]] * 2**16}),
        json.dumps({"drawing": [[[1] * 2**16, [2] * 2**16]]}),
        json.dumps({"drawing": [[[1], [2]]] * (2**16 - 1)}),
        json.dumps({"drawing": [[[1] * (2**16 - 1), [2] * (2**16 - 1)]]}),
    ]
    (path := folder / "cat.ndjson").write_text("\n".join(content))
    assert_same(path)
    assert sum(isinstance(item, Broken) for item in read_bulk(path)) == 2


def test_real_drawings_are_read_alike(shared):
    quickdraw = shared / "data/quickdraw"
    for path in [*(quickdraw / "simplified_official").iterdir(), *sorted((quickdraw / "raw").iterdir())[:2]]:
        assert_same(path)


def test_a_bulk_of_nothing_is_empty(folder):
    (path := folder / "cat.ndjson").write_text("")
    assert list(read_bulk(path)) == []
    assert isinstance(Bulk.concatenate([]).drawings, Drawings)
