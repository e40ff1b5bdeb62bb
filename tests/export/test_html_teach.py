"""Teaching in the page of one file: new classes by their drawings, as Recognizer.teach has them in Python."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import deepdraw
from deepdraw.drawings import simplify
from deepdraw.export.browser import OfflinePage
from deepdraw.fewshot import KnownClasses
from deepdraw.inference import Taught, learn_known, rebuild
from deepdraw.inference.taught import check_name
from tests.export.test_html_drawn import NOTE, SETTLED
from tests.polygons import polygons

pytest.importorskip("onnxruntime", reason="the extra export is not installed")
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def opened(file):
    """The file in a browser that is cut off from the network; what it complains of fails the test."""
    page = OfflinePage(file)
    page.page.evaluate(NOTE)
    yield page.page
    page.close()
    assert page.complaints == []


def drawn(page, corners: int, seed: int) -> list:
    """Clear the page and draw a polygon by the mouse; its strokes as the page has them."""
    page.locator("#pad").focus()
    page.keyboard.press("Escape")
    box = page.locator("#pad").bounding_box()
    for stroke in polygons([corners], 1, seed).strokes(0):
        places = [box["x"], box["y"]] + (0.1 + 0.8 * stroke / 255) * [box["width"], box["height"]]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()
    return page.evaluate(SETTLED)["drawing"]


def teach(page, name: str, corners: int, seed: int) -> list:
    """Teach a polygon that is drawn by the mouse under this name; its strokes."""
    drawing = drawn(page, corners, seed)
    page.fill("#teach-name", name)
    page.click("#teach-add")
    page.locator("#status", has_text="is taught by").wait_for()
    return drawing


def probabilities(page, drawings: list) -> np.ndarray:
    """What the page makes of drawings: the probabilities [N, C] of all names."""
    strokes = [[np.stack([x, y], axis=1) for x, y, _ in drawing] for drawing in drawings]
    lines = [[stroke.T.tolist() for stroke in simplify(drawing)] for drawing in strokes]
    return np.array(page.evaluate("drawings => deepdrawEngine.allProbabilities(drawings)", lines))


def expected(recognizer, drawings: list) -> Any:
    """What Python makes of them, but for what rounding may change."""
    logits = torch.from_numpy(recognizer.logits(drawings)) / recognizer.temperature
    return pytest.approx(F.softmax(logits, dim=1).numpy(), abs=1e-5)


@pytest.mark.slow
def test_classes_taught_by_the_mouse_are_guessed_and_saved_as_python_has_them(opened, doodle_run, tmp_path):
    recognizer = deepdraw.load(doodle_run, device="cpu", precision="fp32")
    new = {"wug": [teach(opened, "wug", 7, seed) for seed in range(3)], MARKUP: [teach(opened, MARKUP, 2, 0)]}
    assert opened.locator(".taught .name").all_text_contents() == [*new]
    assert opened.locator(".taught .count").all_text_contents() == ["3 drawings", "1 drawing"]
    further = [drawn(opened, corners, 7) for corners in (7, 2, 3, 4)]
    alike = opened.evaluate("drawing => deepdrawEngine.alike(drawing)", further[0])
    assert len(alike) == 6 and {look["name"] for look in alike} <= {*recognizer.classes}
    known = learn_known(recognizer.trained, num_workers=0)  # a process more would hold on to the browser
    taught = recognizer.teach(new, known)
    assert probabilities(opened, further) == expected(taught, further)
    (guesses,) = taught.predict([further[-1]])
    assert opened.locator(".guesses .name").all_text_contents() == [guess.name for guess in guesses]

    with opened.expect_download() as download:
        opened.click(".taught-files a")
    saved = tmp_path / "taught.npz"
    download.value.save_as(saved)
    in_python = deepdraw.load(doodle_run, classes=saved, device="cpu", precision="fp32")
    assert in_python.classes == taught.classes
    assert probabilities(opened, further) == expected(in_python, further)

    opened.reload()
    opened.wait_for_selector("body:not(.loading)")
    opened.set_input_files("#teach-load", saved)
    opened.locator("#status", has_text="taught.npz is loaded").wait_for()
    assert probabilities(opened, further) == expected(taught, further)
    for name, left in (("wug", taught.forget("wug")), (MARKUP, recognizer)):
        opened.get_by_role("button", name=f"Remove {name}").click()
        opened.locator("#status", has_text=f"{name} is removed").wait_for()
        assert probabilities(opened, further) == expected(left, further)


@pytest.mark.slow
def test_what_cannot_be_taught_is_said_on_the_page(opened, doodle_run):
    opened.fill("#teach-name", "wug")
    opened.click("#teach-add")
    opened.locator("#status", has_text="Draw wug first").wait_for()
    drawn(opened, 6, 1)
    name = deepdraw.load(doodle_run).classes[0]
    opened.fill("#teach-name", name.upper())
    opened.click("#teach-add")
    opened.locator("#status", has_text=f"There is a class {name} already").wait_for()
    assert opened.locator(".taught li").count() == 0


def savez(**columns) -> list[int]:
    """The bytes of a file of arrays."""
    file = io.BytesIO()
    np.savez(file, **columns)
    return list(file.getvalue())


def test_arrays_are_read_as_numpy_writes_them_and_numpy_reads_what_is_written(script):
    rng = np.random.default_rng(0)
    columns = {
        "texts": np.array(["", "a", "zebra é 日本 \U0001f600"]),
        "none": np.array([], np.str_),
        "empty": np.zeros((0, 5), np.float32),
        "whole": rng.integers(-(2**62), 2**62, 7),
    }
    for number, dtype in enumerate(["<f4", "<f8", "<u2", "|u1", "|i1"]):
        for shape in ((3,), (2, 3), (1, 17, 2)):
            columns[f"array{number}{len(shape)}"] = rng.integers(0, 100, shape).astype(dtype)
    written = script(
        """async (file) => {
            const { readNpz, writeNpz, texts, textColumn } = await import("./npz.js");
            const columns = readNpz(Uint8Array.from(file).buffer);
            for (const name of ["texts", "none"]) columns.set(name, textColumn(texts(columns.get(name))));
            return Array.from(new Uint8Array(await new Blob(writeNpz(columns)).arrayBuffer()));
        }""",
        savez(**columns),
    )
    found = np.load(io.BytesIO(bytes(written)), allow_pickle=False)
    assert found.files == [*columns]
    for name, column in columns.items():
        assert found[name].dtype == column.dtype and found[name].shape == column.shape
        np.testing.assert_array_equal(found[name], column)


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-9], lambda b: [*b[:150], 255 - b[150], *b[151:]], lambda b: [1, 2, 3]],
    ids=["cut-short", "a-byte", "other"],
)
def test_a_damaged_file_is_no_file_of_arrays(script, damage):
    file = savez(numbers=np.arange(20))
    read = 'async (file) => (await import("./npz.js")).readNpz(Uint8Array.from(file).buffer).size'
    assert script(read, file) == 1
    with pytest.raises(Exception, match="This is no file of arrays, or it is damaged"):
        script(read, damage(file))


def test_names_are_compared_and_refused_as_in_python(script):
    names = ["cat", "Cat", "hot-dog", "hot dog", "straße", "STRASSE", "ﬁn", "fin", "ΣΑΣ", "σας", "日本", "-", "--"]
    names += ["", "x" * 100, "x" * 101, "a\u202eb", "a\nb", "a\xa0b", "é", "\U0001f600" * 100, MARKUP]
    found = script(
        """async (names) => {
            const { checkName } = await import("./taught.js");
            const isRefused = (name, taken) => { try { checkName(name, taken); } catch { return true; } return false; };
            return names.map((name) => names.map((other) => isRefused(name, [other])));
        }""",
        names,
    )

    def is_refused(name: str, other: str) -> bool:
        try:
            check_name(name, [other])
        except ValueError:
            return True
        return False

    assert found == [[is_refused(name, other) for other in names] for name in names]


@pytest.fixture(scope="module")
def features() -> tuple[torch.Tensor, torch.Tensor]:
    """Features [280, 12] and labels of 30 drawings of each of 8 classes, and of 4 others of 10."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.arange(8).repeat_interleave(30), torch.arange(8, 12).repeat_interleave(10)])
    means = 2 * torch.randn(12, 12, generator=generator)
    return means[labels] + torch.randn(len(labels), 12, generator=generator), labels


def test_logits_are_those_of_python(script, features):
    given, labels = features
    known = KnownClasses.learn(given[labels < 8], labels[labels < 8])
    support = torch.cat(
        [torch.where(labels == label)[0][:shots] for label, shots in ((8, 1), (9, 2), (10, 5), (11, 7))]
    )
    columns = {**vars(known.whitening), **vars(known)}
    file = savez(**{name: tensor.numpy() for name, tensor in columns.items() if isinstance(tensor, torch.Tensor)})
    found = script(
        """async ([file, queries, taught]) => {
            const { readNpz } = await import("./npz.js");
            const { KnownClasses, softmax } = await import("./known_classes.js");
            const known = new KnownClasses(readNpz(Uint8Array.from(file).buffer));
            const prototypes = taught.map((drawings) => known.prototype(drawings));
            return queries.map((query) => softmax(known.logits(query, prototypes)));
        }""",
        [file, given.tolist(), [given[support][labels[support] == label].tolist() for label in range(8, 12)]],
    )
    expected = F.softmax(known.logits(given, given[support], labels[support] - 8, 4), dim=1)
    np.testing.assert_allclose(np.array(found), expected.numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def taught_file(trained_once) -> Callable[..., list[int]]:
    """Files of classes that were taught to a network, with some columns changed."""
    trained = rebuild(trained_once, device="cpu", precision="fp32")
    width = trained.model.backbone.num_features
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(20)
    known = KnownClasses.learn(torch.randn(60, width, generator=generator) + 3 * labels[:, None], labels)

    def made(names: tuple[str, ...] = ("hexagon", "line"), /, **changed: Any) -> list[int]:
        features = torch.randn(len(names), width, generator=generator)
        file = io.BytesIO()
        Taught(names, features, torch.arange(len(names)), known).write(file, trained)
        file.seek(0)
        return savez(**{**np.load(file), **changed})

    return made


LOAD = """async ([own, other]) => {
    const { Taught } = await import("./taught.js");
    const taught = new Taught(Uint8Array.from(own).buffer, ["triangle", "square", "octagon"]);
    await taught.load(new Blob([Uint8Array.from(other)]));
    return taught.names;
}"""


def test_a_file_of_taught_classes_is_read_in_the_place_of_what_was_taught(script, taught_file):
    assert script(LOAD, [taught_file(()), taught_file()]) == ["hexagon", "line"]
    assert script(LOAD, [taught_file(()), taught_file(())]) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"checkpoint": np.array(["0" * 64])}, "taught to another network"),
        ({"names": np.array(["hexagon", "Square"])}, "There is a class square already"),
        ({"names": np.array(["hexagon", "a\u202eb"])}, "characters that can be printed"),
        ({"names": np.array(["hexagon", "hexagon"])}, "its drawings are not of its names"),
        ({"names": np.array(["hexagon"])}, "its drawings are not of its names"),
        ({"labels": np.array([0, 0], np.uint16)}, "its drawings are not of its names"),
        ({"features": np.full((2, 16), np.nan, np.float32)}, "its drawings are not of its names"),
        ({"features": np.zeros((2, 3), np.float32)}, "its drawings are not of its names"),
        ({"features": np.zeros((2, 16))}, "no file of taught classes"),
        ({"labels": np.array(["a", "b"])}, "no file of taught classes"),
    ],
)
def test_another_file_is_refused_in_one_sentence(script, taught_file, changed, reason):
    with pytest.raises(Exception, match=reason):
        script(LOAD, [taught_file(()), taught_file(**changed)])
