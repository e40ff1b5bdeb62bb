"""Files that may be a stranger's: of a regular file, of a size, of a form, or one line that names them."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest

from deepdraw.drawings.files import whole_sketches
from deepdraw.evaluation.predictions import Predictions
from deepdraw.runtime.reading import read_json, read_npz, read_yaml
from deepdraw.runtime.seals import write_sealed

COLUMNS = {"names": (str, 1), "numbers": (np.uint16, 1)}
GOOD = {"names": np.array(["a", "bc"]), "numbers": np.array([1, 2], np.uint16)}


def read(path):
    return read_npz(path, COLUMNS, what="table", fix="write it again")


def refusal(path, call=read) -> str:
    with pytest.raises(ValueError, match=path.name) as caught:
        call(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_written_after_an_interruption_goes_nowhere_and_raises_nothing(tmp_path):
    files = []

    def interrupted(file):
        files.append(file)
        file.write(b"some")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sealed(tmp_path / "x.npz", interrupted)
    assert files[0].write(b"the rest") == 8  # as torch's writer does when it is freed, where an error ends the process
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("is_sealed", [True, False])
def test_arrays_are_read_as_they_were_written(tmp_path, is_sealed):
    if is_sealed:
        write_sealed(tmp_path / "x.npz", lambda file: np.savez(file, **GOOD))
    else:
        np.savez(tmp_path / "x.npz", **GOOD)
    found = read(tmp_path / "x.npz")
    assert {name: array.tolist() for name, array in found.items()} == {"names": ["a", "bc"], "numbers": [1, 2]}
    assert found["numbers"].dtype == np.uint16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numbers": np.array([1, 2])}, "numbers.npy holds int64, not uint16"),
        ({"numbers": np.array([[1, 2]], np.uint16)}, r"has the shape \[1, 2\], not 1 dimensions"),
        ({"numbers": np.array([1, 2], ">u2")}, "holds >u2, not uint16"),
        ({"numbers": np.array([1, None])}, "holds objects"),
        ({"names": np.array([b"a"])}, r"names.npy holds \|S1"),
        ({"names": np.frombuffer(struct.pack("<I", 0xD800), "<U1")}, "invalid characters"),
        ({"more": np.zeros(1)}, "it has members other than names.npy, numbers.npy"),
    ],
)
def test_arrays_of_another_form_are_refused(tmp_path, change, message):
    np.savez(tmp_path / "x.npz", **GOOD | change)
    with pytest.raises(ValueError, match=rf"x\.npz is no table \(.*{message}"):
        read(tmp_path / "x.npz")


def archive(path, member: bytes, **options) -> None:
    with zipfile.ZipFile(path, "w", **options) as opened:
        for name, array in GOOD.items():
            file = io.BytesIO()
            np.save(file, array)
            opened.writestr(f"{name}.npy", member if name == "numbers" else file.getvalue())


def npy(shape: str, content: bytes = b"") -> bytes:
    header = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def test_a_header_that_tells_of_more_than_the_file_has_takes_no_memory(tmp_path):
    archive(tmp_path / "x.npz", npy("(8589934592,)"))
    assert "do not match its shape" in refusal(tmp_path / "x.npz")
    archive(tmp_path / "x.npz", npy("(-1,)"))
    assert "no such shape" in refusal(tmp_path / "x.npz")
    archive(tmp_path / "x.npz", npy("(" * 300))
    assert refusal(tmp_path / "x.npz")


def test_an_archive_that_is_compressed_is_not_unpacked(tmp_path):
    archive(tmp_path / "x.npz", npy("(50000000,)", bytes(100_000_000)), compression=zipfile.ZIP_DEFLATED)
    assert (tmp_path / "x.npz").stat().st_size < 200_000
    assert "its members are compressed" in refusal(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.zeros(3, np.uint16)},
        {"labels": np.full(2, 2, np.uint16)},
        {"predicted": np.full(2, 9, np.uint16)},
        {"ranks": np.full(2, 2, np.uint16)},
        {"confidences": np.full(2, np.nan, np.float32)},
        {"confidences": np.full(2, 0.5)},
        {"classes": np.array(["a", "a"])},
        {"classes": np.array(["a", "b\n"])},
        {name: np.zeros(0, np.uint16) for name in ("labels", "predicted", "ranks")},
    ],
    ids=lambda change: " ".join(f"{name} {array.tolist()}" for name, array in change.items()),
)
def test_predictions_of_another_form_are_refused(tmp_path, change):
    zeros = np.zeros(2, np.uint16)
    columns = {"key_ids": np.zeros(2, np.uint64), "labels": zeros, "predicted": zeros, "ranks": zeros}
    columns |= {"classes": np.array(["a", "b"]), "confidences": np.full(2, 0.5, np.float32)}
    np.savez(tmp_path / "x.npz", **columns)
    assert len(Predictions.load(tmp_path / "x.npz")) == 2
    np.savez(tmp_path / "x.npz", **columns | change)
    assert "is no table of predictions" in refusal(tmp_path / "x.npz", Predictions.load)


def test_a_folder_a_pipe_and_a_device_are_neither_waited_for_nor_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "zero", tmp_path):
        assert "is no regular file" in refusal(path)
        assert "is no regular file" in refusal(path, lambda path: read_json(path, dict, fix="write it again"))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1, 2]\nb: [*a, *a]",
        "a: " + "[" * 5000,
        "a: {b: " * 5000,
        "a: 2026-01-01",
        "a: !!set {b, c}",
        "a: !!binary YQ==",
        "a: !!python/object/apply:os.system [ls]",
        "1: 2",
        "? [a]\n: b",
        "a: 2026-99-99",
        f"a: {'9' * 5000}",
        "- a",
        "",
    ],
    ids=lambda text: text[:20],
)
def test_yaml_of_other_than_plain_values_is_refused(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text)
    assert "write it again" in refusal(tmp_path / "x.yaml", lambda path: read_yaml(path, fix="write it again"))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "1" * 1_000_000, '{"a": 1e999}', "[1]", ""])
def test_json_of_another_form_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    refusal(tmp_path / "x.json", lambda path: read_json(path, dict[str, float], fix="write it again"))


@pytest.mark.parametrize(
    "line",
    ["[" * 100_000, "1" * 1_000_000, f'{{"drawing": [[[{"1," * 2_500_000}1],[1]]]}}', f'{{"key_id": {"9" * 4000}}}'],
    ids=["deep", "digits", "long", "key id"],
)
def test_lines_of_any_length_are_broken_and_end(tmp_path, line):
    (tmp_path / "x.ndjson").write_text(line + '\n{"drawing": [[[1], [2]]]}\n')
    assert "drawing 1 is broken" in refusal(tmp_path / "x.ndjson", lambda path: list(whole_sketches(path)))
