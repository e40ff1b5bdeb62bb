"""Official files that are broken, misnamed or interrupted: what is counted, what is refused."""

import gzip
import json
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from deepdraw.data.quickdraw.__main__ import Options, convert, main
from deepdraw.data.quickdraw.packing import find_files, pack_file
from deepdraw.data.shard_index import index_bytes
from deepdraw.runtime.options import parse
from deepdraw.runtime.workers import prepare_worker
from tests.data.quickdraw_command.conftest import NUM_EACH, key_ids, line, run, write


def test_what_is_dropped_or_odd_is_counted_by_kind(tmp_path):
    odd = [
        line(0, "cat", drawing=[]),
        line(1, "cat", drawing=[[[], []]]),
        line(2, "cat", drawing=[[[5], [5]], [[], []], [[1, 2], [3, 4]]]),
        line(3, "cat", recognized=False),
        line(1000, "cat"),
        {"word": "cat", "key_id": "5", "drawing": [[[1, 2], [3, 4]]]},
        {"word": "cat", "drawing": [[[6, 7], [8, 9]]]},
        {"word": "cat", "drawing": [[[6, 7], [8, 9]]]},
        "{\n",
    ]
    path = write(tmp_path / "cat.ndjson", [*(line(1000 + k, "cat") for k in range(200)), *odd])
    drawings, counts = pack_file(path, only_recognized=True, per_class=150)
    assert +counts == {
        "read": 209, "broken": 1, "empty": 2, "not_recognized": 1, "duplicate": 2, "beyond_limit": 53,
        "kept": 150, "one_point_strokes": 1, "empty_strokes": 1, "without_recognized": 2,
    }  # fmt: skip
    assert len(drawings) == 150
    assert pack_file(path, only_recognized=False)[1]["not_recognized"] == 0


def test_a_file_of_which_more_than_one_percent_is_broken_is_refused_with_its_first_broken_line(tmp_path):
    good = [line(k, "cat") for k in range(200)]
    pack_file(write(tmp_path / "cat.ndjson", [*good[:150], "{\n", "{\n", *good[150:]]), only_recognized=True)
    path = write(tmp_path / "cat.ndjson", [*good[:150], "{\n", "{\n", "{\n", *good[150:]])
    with pytest.raises(ValueError, match=r"cat\.ndjson: 3 of 203 lines are broken, the first is line 151 "):
        pack_file(path, only_recognized=True)


def test_a_misnamed_file_is_refused_before_any_is_read(source, tmp_path):
    write(source / "aircraft carier.ndjson", ["not read"])
    with pytest.raises(ValueError, match=r"aircraft carier\.ndjson.*did you mean 'aircraft carrier'"):
        find_files(source)


def test_the_word_of_its_drawings_beats_the_name_of_a_file(source, tmp_path):
    whole = run(f"source={source}", f"root={tmp_path / 'whole'}")
    (source / "zebra.ndjson").rename(source / "drawings.ndjson")
    (source / "yoga.ndjson").rename(source / "airplane 2.ndjson")
    lines = [line(2000 + k, "Airplane") for k in range(NUM_EACH)]
    write(source / "airplane.ndjson", ["broken\n", *lines])
    assert find_files(source) == {
        "zebra": source / "drawings.ndjson",
        "yoga": source / "airplane 2.ndjson",
        "airplane": source / "airplane.ndjson",
        "ambulance": source / "ambulance.ndjson",
    }
    assert key_ids(run(f"source={source}", f"root={tmp_path / 'again'}")) == key_ids(whole)
    write(source / "cat.ndjson", [line(1, "kitty")])
    with pytest.raises(ValueError, match=r"cat\.ndjson, by the word 'kitty' of its first drawing, is named after no"):
        find_files(source)
    write(source / "cat.ndjson", [line(1, "zebra")])
    with pytest.raises(ValueError, match=r"both cat\.ndjson and drawings\.ndjson"):
        find_files(source)


@pytest.mark.parametrize("content", ["", "unrecognized", "without a point"])
def test_a_category_left_without_drawings_is_named(source, tmp_path, caplog, content):
    lines = [line(k, "zebra", recognized=False) for k in range(9)] if content == "unrecognized" else []
    lines += [line(k, "zebra", drawing=[]) for k in range(9)] if content == "without a point" else []
    write(source / "zebra.ndjson", lines)
    for _ in range(2):  # also where the shards are there already
        caplog.clear()
        run(f"source={source}", f"root={tmp_path / 'shards'}")
        assert "1 of 4 categories have no drawing left: zebra; fetch such files anew" in caplog.text
    if content == "unrecognized":
        caplog.clear()
        run(f"source={source}", f"root={tmp_path / 'any'}", "recognized=any")
        assert "no drawing left" not in caplog.text


def test_two_files_of_one_category_are_refused(source):
    (source / "zebra.bin").touch()
    with pytest.raises(ValueError, match=r"both zebra\.bin and zebra\.ndjson"):
        find_files(source)


def test_files_are_found_by_their_names_packed_or_from_the_console_and_the_rest_is_told(source, tmp_path, caplog):
    whole = run(f"source={source}", f"root={tmp_path / 'whole'}")
    (source / "zebra.ndjson").rename(source / "full_simplified_zebra.ndjson")
    (source / "yoga.ndjson.gz").write_bytes(gzip.compress((source / "yoga.ndjson").read_bytes()))
    (source / "yoga.ndjson").unlink()
    (source / "airplane.ndjson").rename(source / "airplane.NDJSON")
    for name in ("._zebra.ndjson", ".DS_Store", "categories.txt"):
        (source / name).write_bytes(b"\0\5\x16\7")
    with caplog.at_level("INFO"):
        again = run(f"source={source}", f"root={tmp_path / 'again'}")
    assert {name: part.key_ids.tolist() for name, part in again.items()} == {
        name: part.key_ids.tolist() for name, part in whole.items()
    }
    assert "4 files (3 .ndjson, 1 .ndjson.gz), 3 left out (2 hidden or of the system, 1 .txt)" in caplog.text
    (source / "ambulance.zip").touch()
    with pytest.raises(ValueError, match=r"ambulance\.zip is an archive: unpack it"):
        find_files(source)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("source={}/sourse root={}/x", "did you mean .*/source\\?"),
        ("source={}/empty root={}/x", "has no <category>.ndjson"),
        ("source={}/source", "option root is missing"),
        ("rot=x", "unknown option 'rot': did you mean root=...\\?"),
        ("--verbose", "unknown option '--verbose'"),
        ("root", "option root has no value"),
        ("root=x per_class=many", "per_class=many must be a whole number"),
        ("root=x per_class=0", "keeps no drawing"),
        ("root=x recognized=false", "neither true nor any"),
        ("root=x split_rule=414k", "none of original, quickdraw414k"),
        ("root=x source=y download=z", "one of the two"),
    ],
)
def test_bad_input_is_answered_in_one_line(source, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message) as raised:
        convert(parse(Options, arguments.format(tmp_path, tmp_path).split()))
    assert "\n" not in str(raised.value)
    with pytest.raises(SystemExit, match=r"^error: "):
        main(arguments.format(tmp_path, tmp_path).split())


def test_a_root_with_other_shards_is_refused_and_with_the_same_left_alone(source, tmp_path):
    root = tmp_path / "shards"
    run(f"source={source}", f"root={root}", "per_class=20")
    before = {path: path.stat().st_mtime_ns for path in root.iterdir()}
    with pytest.raises(ValueError, match=r"per_class is 20, not 30.*choose another root or delete it"):
        run(f"source={source}", f"root={root}", "per_class=30")
    run(f"source={source}", f"root={root}", "per_class=20")
    assert {path: path.stat().st_mtime_ns for path in root.iterdir()} == before
    write(source / "The Mona Lisa.ndjson", [line(7, "The Mona Lisa")])
    with pytest.raises(ValueError, match="num_files is 4, not 5"):
        run(f"source={source}", f"root={root}", "per_class=20")


def test_an_interrupted_run_leaves_no_index(source, tmp_path, monkeypatch, capsys):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deepdraw.data.shards._write_shard", interrupt)
    with pytest.raises(SystemExit, match="^130$"):
        main([f"source={source}", f"root={tmp_path / 'shards'}"])
    assert capsys.readouterr().err.rpartition("interrupted")[2].startswith(" before index.json was written")
    assert not (tmp_path / "shards" / "index.json").exists()


def test_processes_that_read_leave_ctrl_c_and_slurms_warning_to_the_main_one():
    with ProcessPoolExecutor(1, get_context("spawn"), prepare_worker) as pool:
        for number in (signal.SIGINT, signal.SIGUSR2):
            assert pool.submit(signal.getsignal, number).result() == signal.SIG_IGN


STARTED = """
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from time import sleep
from deepdraw.runtime.workers import prepare_worker
if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context("spawn"), prepare_worker) as pool:
        pool.submit(sleep, 0).result()
        print("started", flush=True)
        sleep(100)
"""


def test_processes_that_read_end_when_the_main_one_was_killed(tmp_path):
    (script := tmp_path / "script.py").write_text(STARTED)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as main:
        assert main.stdout.readline() == "started\n"
        main.kill()
        main.communicate(timeout=20)  # until the last process that could print has ended


def test_shards_whose_index_counts_nothing_are_refused(tmp_path, source):
    arguments = (f"root={tmp_path / 'root'}", f"source={source}")
    run(*arguments)
    path = tmp_path / "root" / "index.json"
    index = json.loads(path.read_text())
    path.write_bytes(index_bytes({key: value for key, value in index.items() if key not in ("counts", "sha256")}))
    with pytest.raises(ValueError, match=r"index\.json counts no drawings by kind"):
        run(*arguments)
