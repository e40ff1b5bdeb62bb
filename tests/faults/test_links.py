"""Links in a run directory and in a shared features.dir lead to nobody's files: nothing outside is ever overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from deepdraw.features.store import ARRAYS, BLOCK, FeatureStore, FeatureWriter

LINKS = [Path.symlink_to, Path.hardlink_to]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def replaced_by_links(run: Path, victims: Path, link) -> dict[str, bytes]:
    """Every file of the run moved away, with a link in its place."""
    for file in [path for path in run.rglob("*") if path.is_file()]:
        away = victims / file.relative_to(run)
        away.parent.mkdir(parents=True, exist_ok=True)
        file.rename(away)
        link(file, away)
    return contents(victims)


@pytest.mark.parametrize("link", LINKS)
def test_an_evaluation_changes_no_file_that_the_run_only_links_to(tmp_path, trained, evaluate, link):
    evaluate(trained / "checkpoints/best.pt")  # so that all its files have names to be linked at
    victims = replaced_by_links(trained, tmp_path / "victims", link)
    evaluate(trained / "checkpoints/best.pt")
    assert contents(tmp_path / "victims") == victims
    assert not (trained / "report.html").is_symlink()


@pytest.mark.parametrize("link", LINKS)
def test_training_that_goes_on_changes_no_file_that_the_run_only_links_to(tmp_path, trained, resume, link):
    victims = replaced_by_links(trained, tmp_path / "victims", link)
    resume()
    assert contents(tmp_path / "victims") == victims


def store(folder: Path) -> FeatureStore:
    return FeatureStore(folder / "train-0aa0", BLOCK, 3, None, torch.float16)


def write(store: FeatureStore) -> None:
    with FeatureWriter(store) as writer:
        if writer.num_blocks == 0:
            writer.append(torch.rand(BLOCK, 3).half(), torch.arange(BLOCK), torch.arange(BLOCK))
        writer.finish()


@pytest.fixture
def victim(tmp_path):
    """A folder of somebody else, with files of the names that a cache has."""
    folder = tmp_path / "victim"
    folder.mkdir()
    for name in (*ARRAYS, "checksums", "about.json"):
        (folder / name).write_bytes(os.urandom(100))
    before = contents(folder)
    yield folder
    assert contents(folder) == before


def test_a_link_in_the_place_of_a_cache_is_replaced(tmp_path, victim):
    features = tmp_path / "features"
    features.mkdir()
    (features / "train-0aa0").symlink_to(victim)
    (features / "train-0aa0.part").symlink_to(victim)
    assert store(features).open() is None
    store(features).discard_damaged()
    write(store(features))
    assert store(features).open() is not None
    assert [path.is_symlink() for path in features.iterdir()] == [False]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("name", [*ARRAYS, "checksums", "about.json"])
def test_a_link_in_an_unfinished_cache_ends_in_one_line_or_is_replaced(tmp_path, victim, name, link):
    part = tmp_path / "features/train-0aa0.part"
    part.mkdir(parents=True)
    link(part / name, victim / name)
    if name == "about.json":
        write(store(part.parent))
        assert store(part.parent).open() is not None
    else:
        with pytest.raises(ValueError, match=rf"{name} cannot be written \(.*\): set features.dir to another disk"):
            write(store(part.parent))
