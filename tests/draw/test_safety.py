"""Whoever else asks the page's server, and whatever is sent to it: clear refusals, and the next guess is right."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from deepdraw.draw import Collection

GOOD = [[[0.0, 10.0, 20.0], [0.0, 10.0, 0.0], [0, 8, 16]]]
JSON = {"Content_Type": "application/json"}


@pytest.fixture
def page(serve, runs):
    """A page which, when the test ends, still answers, and has refused in one line each time."""
    served = serve(runs("pixels"))
    yield served
    assert served.guess(GOOD).status == 200


def refused(answer, status: int) -> str:
    """The one line with which a request was refused."""
    assert answer.status == status, answer.content[:300]
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json) == {"error"}
    line = answer.json["error"]
    assert line
    assert "\n" not in line
    assert "Traceback" not in line
    return line


HOSTS = ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.2", "0.0.0.0"]
HOSTS += ["user@127.0.0.1", "127.0.0.1:80:80", "[::1]evil", "", "127.0.0.1:", "127.0.0.1:x", "localhost.", "127.1"]
HOSTS += ["0x7f.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "[::1%25lo]", "127.0.0.1, evil.example", "[::1]:80@evil"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_request_to_another_host_is_refused(page, host):
    for method, path in (("GET", "/"), ("GET", "/networks"), ("POST", "/networks/0/guess")):
        refused(page.ask(method, path, Host=host, **JSON), 403)


def test_this_machine_has_three_names(page):
    for host in ("127.0.0.1", f"localhost:{page.port}", "LOCALHOST:9", "[::1]:8000"):
        assert page.ask("GET", "/networks", Host=host).status == 200


def test_another_origin_is_refused_and_its_own_is_not(page):
    body = json.dumps({"drawing": GOOD}).encode()
    own = page.address
    foreign = ["http://evil.example", "null", own.replace("http", "https"), f"{own}.evil.example", "http://127.0.0.1:1"]
    for origin in [*foreign, f"http://localhost:{page.port}", ""]:
        refused(page.ask("POST", "/networks/0/guess", body, Origin=origin, **JSON), 403)
        refused(page.ask("GET", "/networks", Origin=origin), 403)
    assert page.ask("POST", "/networks/0/guess", body, Origin=own, **JSON).status == 200


def exchange(page, request: bytes) -> bytes:
    """All that is answered to these bytes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as answers:
            return answers.read()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /networks HTTP/1.0\r\n\r\n", 403),
        (b"GET /networks HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n", 400),
        (b"GET http://evil.example/networks HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01" * 50, 400),
    ],
    ids=["no host", "two hosts", "another address", "no HTTP"],
)
def test_what_no_browser_sends_is_refused(page, request_, status, capfd):
    assert exchange(page, request_).startswith(b"HTTP/1.1 %d " % status)
    assert "WARNING" not in "".join(capfd.readouterr()), "strangers fill no terminal"


def test_a_websocket_is_refused_also_to_the_page_itself(page, capfd):
    key = {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec_WebSocket_Version": "13"}
    for origin in ("http://evil.example", page.address):
        answer = page.ask("GET", "/networks", Upgrade="websocket", Connection="Upgrade", Origin=origin, **key)
        refused(answer, 403)
    assert "WARNING" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("sent", [b"", b"POST /networks/0/guess HTTP/1.1\r\nHo"], ids=["nothing", "half a head"])
@pytest.mark.parametrize("before", [b"", b"GET /networks HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], ids=["first", "second"])
def test_a_connection_on_which_no_request_begins_is_closed(page, monkeypatch, before, sent):
    monkeypatch.setattr("deepdraw.draw.server.MOST_SECONDS", 0.2)
    exchange(page, before + sent)


def test_a_body_that_does_not_go_on_is_refused(page, monkeypatch):
    monkeypatch.setattr("deepdraw.draw.bodies.MOST_SECONDS", 0.2)
    head = b"POST /networks/0/guess HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    assert exchange(page, head + b'Content-Length: 100\r\n\r\n{"drawing"').startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_form_of_another_page_can_send_is_refused(page, kind):
    refused(page.ask("POST", "/networks/0/guess", json.dumps({"drawing": GOOD}).encode(), Content_Type=kind), 415)


NOT_A_DRAWING = {
    "nothing": b"",
    "broken": b'{"drawing": [[[0',
    "deep": b'{"drawing": ' + b"[" * 500_000 + b"]" * 500_000 + b"}",
    "deep objects": b'{"a":' * 100_000,
    "NaN": b'{"drawing": [[[NaN], [0], [0]]]}',
    "Infinity": b'{"drawing": [[[Infinity], [0], [0]]]}',
    "too large for a float": b'{"drawing": [[[1e999], [0], [0]]]}',
    "far away": b'{"drawing": [[[1e300], [0], [0]]]}',
    "many digits": b'{"drawing": [[[' + b"9" * 100_000 + b"], [0], [0]]]}",
    "text": b'{"drawing": [[["0"], [0], [0]]]}',
    "true": b'{"drawing": [[[true], [0], [0]]]}',
    "null": b'{"drawing": null}',
    "no stroke": b'{"drawing": []}',
    "no point": b'{"drawing": [[[], [], []]]}',
    "no times": b'{"drawing": [[[0], [0]]]}',
    "negative times": b'{"drawing": [[[0], [0], [-1]]]}',
    "a list": b"[]",
    "another key": b'{"drawing": [[[0], [0], [0]]], "__proto__": 1}',
    "no UTF-8": b'{"drawing": "\xff\xfe"}',
    "1,001 strokes": json.dumps({"drawing": [[[0], [0], [0]]] * 1001}).encode(),
    "30,000 points": json.dumps({"drawing": [[[0] * 30_000] * 3]}).encode(),
}


@pytest.mark.parametrize("content", NOT_A_DRAWING.values(), ids=NOT_A_DRAWING.keys())
def test_what_is_no_drawing_is_refused(page, content):
    refused(page.ask("POST", "/networks/0/guess", content, **JSON), 400)


def test_rows_of_unequal_length_and_too_many_points_in_many_strokes_are_refused(page):
    assert "differ in length" in refused(page.guess([[[0, 1], [0], [0, 1]]]), 422)
    assert "20,000 points" in refused(page.guess([[[0] * 300] * 3] * 100), 422)


def test_a_million_points_are_refused_before_they_are_read(page):
    content = json.dumps({"drawing": [[[1] * 1_000_000] * 3]}).encode()
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as connection:
        head = "POST /networks/0/guess HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
        connection.sendall(f"{head}\r\nContent-Length: {len(content)}\r\n\r\n".encode())  # and nothing of the body
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 413 ")


def test_a_body_without_end_and_without_its_length_is_refused(page):
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as connection:
        head = "POST /networks/0/guess HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
        connection.sendall(f"{head}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(20):  # more than it takes, and less than would fill the buffers of a server that does not read
            connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "path", ["/../network.py", "/%2e%2e/network.py", "/..%2fnetwork.py", "/style.css/../../guard.py"]
)
def test_files_outside_of_the_page_are_not_served(page, path):
    refused(page.ask("GET", path), 404)


def test_a_route_has_one_method(page):
    refused(page.ask("GET", "/networks/0/guess"), 404)
    refused(page.ask("PUT", "/networks/0/guess"), 405)
    refused(page.ask("POST", "/networks/-1/guess"), 405)
    refused(page.ask("POST", "/networks/7/guess", b"{}", **JSON), 404)


def test_the_other_routes_refuse_the_same(page):
    for path in ("/networks/0/alike", "/collect"):
        refused(page.ask("POST", path, b"{}", Origin="http://evil.example", **JSON), 403)
        refused(page.ask("POST", path, b"{}", Content_Type="text/plain"), 404 if path == "/collect" else 415)
    refused(page.ask("POST", "/networks/0/alike", b'{"drawing": [[[NaN], [0], [0]]]}', **JSON), 400)


@pytest.mark.parametrize(
    "name", ["x" * 10_000, "a\x1b[2Jb", "a\u202eb", "a\u2066b", "\u200f", "a\nb", "a\0b", "\ufeff", " "], ids=ascii
)
def test_what_is_no_name_is_neither_taught_nor_kept(serve, runs, name, tmp_path):
    page = serve(runs("pixels"), collection=Collection(tmp_path / "mine"))
    for path, content in (
        ("/networks/0/teach", {"name": name, "drawings": [GOOD]}),
        ("/collect", {"name": name, "drawing": GOOD}),
    ):
        line = refused(page.ask("POST", path, json.dumps(content).encode(), **JSON), 400 if len(name) > 200 else 422)
        assert len(line) < 300
        assert line.isprintable()
    assert not list((tmp_path / "mine").glob("*"))
    assert page.ask("GET", "/networks").json[0]["taught"] == []


def test_every_answer_lets_the_page_load_its_own_files_alone(page):
    for answer in (
        page.ask("GET", "/"),
        page.ask("GET", "/pad.js"),
        page.ask("GET", "/none"),
        page.ask("GET", "/", Host="a"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers


def test_two_hundred_guesses_at_once_are_all_answered_right(page, drawn):
    drawings = [drawn(corners, corners) for corners in (3, 4, 5, 8)]
    alone = [page.guess(drawing).json for drawing in drawings]
    with ThreadPoolExecutor(200) as threads:
        answers = list(threads.map(page.guess, drawings * 50))
    assert {answer.status for answer in answers} == {200}
    for index, answer in enumerate(answers):
        expected = alone[index % 4]
        assert answer.json["names"] == expected["names"]
        assert answer.json["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)


def test_two_hundred_guesses_are_answered_while_classes_are_taught(page, drawn):
    def teach(corners: int):
        content = json.dumps({"name": f"{corners} corners", "drawings": [drawn(corners)]}).encode()
        return page.ask("POST", "/networks/0/teach", content, **JSON)

    with ThreadPoolExecutor(204) as threads:
        taught = [threads.submit(teach, corners) for corners in (5, 6, 7, 9)]
        answers = list(threads.map(page.guess, [drawn(3)] * 200))
        assert {future.result().status for future in taught} == {204}
    assert {answer.status for answer in answers} == {200}
    names = page.ask("GET", "/networks").json[0]["names"]
    assert set(names[3:]) == {"5 corners", "6 corners", "7 corners", "9 corners"}
    assert all(set(answer.json["names"]) <= set(names) for answer in answers)
    assert set(page.guess(drawn(3)).json["names"]) == set(names)
