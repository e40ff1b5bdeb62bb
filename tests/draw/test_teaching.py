"""Teaching by the page's server: what is taught is guessed at once, as `Recognizer.teach` has it."""

from __future__ import annotations

import json

import pytest

import deepdraw


def post(page, path, content):
    return page.ask("POST", path, json.dumps(content).encode(), Content_Type="application/json")


def teach(page, name, *drawings):
    return post(page, "/networks/0/teach", {"name": name, "drawings": drawings})


def taught_to(page):
    return [(one["name"], one["drawings"]) for one in page.ask("GET", "/networks").json[0]["taught"]]


def test_a_class_that_is_taught_is_guessed_as_python_teaches_it(serve, runs, drawn, tmp_path):
    page = serve(runs("fused"))
    assert teach(page, "hexagon", drawn(6, 1), drawn(6, 2)).status == 204
    assert teach(page, "line", drawn(2, 1)).status == 204
    assert taught_to(page) == [("hexagon", 2), ("line", 1)]
    assert page.ask("GET", "/networks").json[0]["names"] == ["triangle", "square", "octagon", "hexagon", "line"]
    file = tmp_path / "taught.npz"
    file.write_bytes(page.ask("GET", "/networks/0/taught.npz").content)
    drawing = tmp_path / "drawn.ndjson"
    for corners in (2, 6, 3):
        drawing.write_text(json.dumps({"drawing": drawn(corners, 9)}))
        answer = page.guess(drawn(corners, 9)).json
        (expected,) = deepdraw.load(runs("fused"), classes=file).predict(drawing)
        assert answer["names"] == [guess.name for guess in expected]
        assert answer["probabilities"] == pytest.approx([guess.probability for guess in expected], abs=1e-4)


def test_a_name_that_is_taught_again_is_replaced_and_one_that_is_forgotten_is_gone(serve, runs, drawn):
    page = serve(runs("pixels"))
    before = page.guess(drawn(3)).json
    teach(page, "hexagon", drawn(6, 1))
    teach(page, "hexagon", drawn(6, 2), drawn(6, 3))
    assert taught_to(page) == [("hexagon", 2)]
    assert post(page, "/networks/0/forget", {"name": "hexagon"}).status == 204
    assert taught_to(page) == []
    assert page.guess(drawn(3)).json == before, "the trained head guesses again"


def test_markup_is_a_name_like_any_other(serve, runs, drawn):
    page = serve(runs("pixels"))
    assert teach(page, "<script>alert(1)</script>", drawn(6)).status == 204
    assert taught_to(page) == [("<script>alert(1)</script>", 1)]


@pytest.mark.parametrize(
    ("name", "number", "status", "message"),
    [
        ("Square", 1, 422, "there is a class 'Square' already, as 'square'"),
        ("a\u202eb", 1, 422, "cannot be the name of a class"),
        ("  ", 1, 422, "cannot be the name of a class"),
        ("x" * 500, 1, 400, "this is no request of the page"),
        ("hexagon", 6, 400, "this is no request of the page"),
        ("hexagon", 0, 422, "has no text tower"),
    ],
    ids=["trained-on", "direction", "blank", "long", "six-drawings", "no-drawing"],
)
def test_what_cannot_be_taught_is_refused_in_one_line(serve, runs, drawn, name, number, status, message):
    page = serve(runs("pixels"))
    answer = teach(page, name, *[drawn(6)] * number)
    assert answer.status == status
    assert message in answer.json["error"]
    assert "\n" not in answer.json["error"]
    assert taught_to(page) == []


def test_nothing_taught_is_nothing_to_save_or_to_forget(serve, runs):
    page = serve(runs("pixels"))
    assert page.ask("GET", "/networks/0/taught.npz").status == 422
    assert post(page, "/networks/0/forget", {"name": "hexagon"}).status == 422
    assert post(page, "/networks/7/forget", {"name": "hexagon"}).status == 404
    assert post(page, "/networks/0/teach", {"name": "hexagon", "drawings": [[[[]]]]}).status == 400
    assert page.ask("POST", "/networks/0/teach", b"{", Content_Type="application/json").status == 400


def test_a_foreign_page_teaches_nothing(serve, runs, drawn):
    page = serve(runs("pixels"))
    content = json.dumps({"name": "hexagon", "drawings": [drawn(6)]}).encode()
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        answer = page.ask("POST", "/networks/0/teach", content, Content_Type="application/json", **headers)
        assert answer.status == 403
    assert taught_to(page) == []
