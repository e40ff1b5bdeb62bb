"""An SVG file becomes the strokes that Quick, Draw! would have stored of it."""

import gzip
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.drawings.simplification import simplify
from deepdraw.drawings.svg import read_svg
from deepdraw.runtime.reading import LARGEST

START = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400">'
PEN = 'fill="none" stroke="black"'
LINE = '<path d="M0 0 L9 7" stroke="black"/>'


@pytest.fixture
def strokes_of(tmp_path):
    def strokes_of(body: str, start: str = START) -> list[list[list[int]]]:
        (tmp_path / "x.svg").write_text(start + body + "</svg>")
        return [stroke.tolist() for stroke in read_svg(tmp_path / "x.svg")]

    return strokes_of


@pytest.mark.parametrize(
    ("shape", "stroke"),
    [
        ('<path d="M10 10 L40 10 L40 30"/>', [[0, 0], [255, 0], [255, 170]]),
        ('<path d="m10 10 h30 v20"/>', [[0, 0], [255, 0], [255, 170]]),
        ('<line x1="10" y1="10" x2="40" y2="30"/>', [[0, 0], [255, 170]]),
        ('<polyline points="10,10 40,10 40,30"/>', [[0, 0], [255, 0], [255, 170]]),
        ('<polygon points="10,10 40,10 40,30"/>', [[0, 0], [255, 0], [255, 170], [0, 0]]),
        ('<rect x="10" y="10" width="30" height="20"/>', [[0, 0], [255, 0], [255, 170], [0, 170], [0, 0]]),
    ],
)
def test_a_shape_is_its_outline_in_the_square_of_255(strokes_of, shape, stroke):
    assert strokes_of(shape) == [stroke]


@pytest.mark.parametrize(
    ("shape", "radii"),
    [
        ('<circle cx="50" cy="50" r="40"/>', (127.5, 127.5)),
        ('<ellipse cx="50" cy="50" rx="40" ry="20"/>', (127.5, 63.75)),
        ('<path d="M10 50 A40 20 0 1 1 10 50.01 Z"/>', (127.5, 63.75)),
    ],
)
def test_curves_stay_within_the_simplifications_2_px(strokes_of, shape, radii):
    (stroke,) = strokes_of(shape)
    assert 8 <= len(stroke) <= 40
    ends = [np.linspace(a, b, 20) for a, b in pairwise(np.array(stroke, float))]
    distances = np.hypot(*((np.concatenate(ends) - radii) / radii).T)
    assert np.abs(distances - 1).max() * min(radii) < 3


def test_a_bezier_curve_is_followed(strokes_of):
    (stroke,) = strokes_of('<path d="M0 0 C 0 100 100 100 100 0" fill="none" stroke="black"/>')
    t = np.linspace(0, 1, 500)
    curve = np.stack([3 * (1 - t) * t**2 + t**3, 3 * (1 - t) ** 2 * t * 1 + 3 * (1 - t) * t**2], axis=1) * 255
    assert all(np.hypot(*(curve - point).T).min() < 2 for point in stroke)


def test_transforms_of_shape_and_group_are_applied(strokes_of):
    moved = '<g transform="translate(7 9) scale(2)"><line x2="10" y2="0" transform="rotate(90)"/></g>'
    assert strokes_of(moved + '<line x1="7" y1="9" x2="17" y2="9"/>') == [[[0, 0], [0, 255]], [[0, 0], [128, 0]]]


def test_each_part_of_a_path_is_a_stroke_and_a_dot_stays_a_dot(strokes_of):
    assert strokes_of('<path d="M0 0 L10 0 M5 5 L5 10 M2 2 z M3 3"/>') == [
        [[0, 0], [255, 0]],
        [[128, 128], [128, 255]],
        [[51, 51]],
    ]


@pytest.mark.parametrize(
    "unseen",
    [
        '<rect width="100%" height="100%" fill="white"/>',
        '<rect width="400" height="400" fill="none"/>',
        '<g display="none"><rect width="400" height="400"/></g>',
        '<g visibility="hidden"><rect width="400" height="400"/></g>',
        '<defs><rect width="400" height="400"/></defs>',
        *(f"<{tag}><rect width='400' height='400'/></{tag}>" for tag in ("clipPath", "mask", "marker", "symbol")),
        "<mask/><pattern/><marker/><path/><path d=''/>",
        "<text>cat</text><image href='x.png' width='9' height='9'/><title>cat</title><!-- cat -->",
        '<path d="M0 0"/>',
    ],
)
def test_what_does_not_show_on_white_paper_is_no_stroke(strokes_of, unseen):
    assert strokes_of(unseen + LINE) == [[[0, 0], [255, 198]]]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.floats(-900, 900), st.floats(-900, 900)), min_size=2, max_size=9), min_size=1, max_size=4
    )
)
def test_lines_become_what_the_official_simplification_makes_of_them(tmp_path_factory, drawing):
    path = tmp_path_factory.mktemp("svg") / "x.svg"
    lines = [" ".join(f"{x!r},{y!r}" for x, y in stroke) for stroke in drawing]
    path.write_text(
        START.replace('viewBox="0 0 400 400"', "") + "".join(f'<polyline points="{p}" {PEN}/>' for p in lines)
    )
    with path.open("a") as file:
        file.write("</svg>")
    for found, expected in zip(read_svg(path), simplify(drawing), strict=True):
        assert np.array_equal(found[[0, -1]], expected[[0, -1]])
        assert found.dtype == np.uint8


def test_a_drawing_that_is_simplified_already_stays_as_it_is(strokes_of):
    drawing = [[[0, 0], [1, 1], [2, 0], [255, 30]], [[7, 90], [7, 91]]]
    lines = "".join(f'<polyline {PEN} points="{" ".join(f"{x},{y}" for x, y in stroke)}"/>' for stroke in drawing)
    assert strokes_of(lines) == drawing
    assert strokes_of(f'<g transform="scale(2)">{lines}</g>') != drawing


def test_a_file_with_doctype_and_namespaces_is_read(tmp_path):
    dtd = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
    (tmp_path / "x.svg").write_text(
        f'<?xml version="1.0"?>{dtd}<s:svg xmlns:s="http://www.w3.org/2000/svg"><s:path d="M0 0 L9 7"/></s:svg>'
    )
    assert [stroke.tolist() for stroke in read_svg(tmp_path / "x.svg")] == [[[0, 0], [255, 198]]]


LAUGHS = '<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is broken XML"),
        (b"\x89PNG\r\n\x1a\n", "is broken XML"),
        (START.encode() + LINE.encode(), "is broken XML .* line 1"),
        (f"{START}<x:path d='M0 0'/></svg>".encode(), "is broken XML .*prefix"),
        (b"<html/>", "is no SVG file: its root is <html>"),
        (f"{START}</svg>".encode(), "has no strokes"),
        (f'{START}<path d="M0 0 L9 9" fill="none" stroke="white"/></svg>'.encode(), "has no strokes"),
        (f"{LAUGHS}{START}{LINE}</svg>".encode(), "declares entities"),
        (f'<?xml version="1.0" encoding="utf-16"?>{LAUGHS}{START}{LINE}</svg>'.encode("utf-16"), "declares entities"),
        (b'<!DOCTYPE svg [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]><svg/>', "declares entities"),
        (
            f'{START}<path d="M0 0 L1e308 1e308 L-1e308 3"/></svg>'.encode(),
            "has a coordinate that is no number",
        ),
        (f'{START}<path d="M0 0 L9 9" transform="matrix(1)"/></svg>'.encode(), "has a shape that cannot be read"),
        (f"{START}{'<g>' * 5000}{LINE}{'</g>' * 5000}</svg>".encode(), "has more than 100 groups"),
        (f"{START}{LINE}{' ' * LARGEST['SVG']}</svg>".encode(), "has 1,048,.* more than the 1,048,576"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_what_is_no_drawing_is_told_in_one_line_that_names_the_file(tmp_path, content, message):
    (tmp_path / "x.svg").write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.svg {message}") as caught:
        read_svg(tmp_path / "x.svg")
    assert "\n" not in str(caught.value)


def times(text: str, number: int) -> str:
    return text * number


@pytest.mark.parametrize(
    "body",
    [
        f"<style>{times('a ', 400_000)}</style>{LINE}",
        f"<style>{times('a{', 400_000)}</style>{LINE}",
        f"<style>{times('/*', 400_000)}</style>{LINE}",
        f"<style>*{{{times('a:b;', 100_000)}}}</style>{times(LINE, 9_000)}",
        f"<style>.a{{{times('fill:red;', 9_000)}}}</style><path d='M0 0h9' class='{times('a ', 100_000)}'/>",
        f"<g transform='{times('scale(1)', 60_000)}'>{times(LINE, 9_000)}</g>",
        f"<g points='{times('1 2 ', 100_000)}'>{times('<polyline/>', 9_000)}{LINE}</g>",
        f"<path d='M0 0{times('z', 900_000)}'/>",
        f"<path d='M0 0{times('l1 1z', 200_000)}'/>",
        f"<path d='M0 0{times('a9 1 0 0 0 1 1', 70_000)}'/>",
        f"<path d='M0 0h9' transform='{times('scale(', 100_000)}'/>",
        f"<polyline points='1 1 {times('1', 900_000)}'/>",
        times("<rect rx='2' width='9' height='9'/>", 25_000),
        times("<g>", 60_000) + LINE + times("</g>", 60_000),
        "<g " + "".join(f'a{i}="1" ' for i in range(40_000)) + f">{times(LINE, 9_000)}</g>",
    ],
    ids=lambda body: body[:20],
)
def test_a_megabyte_takes_no_more_than_seconds_whatever_it_says(tmp_path, body):
    (tmp_path / "x.svg").write_text(f"{START}{body}</svg>")
    signal.alarm(60)  # some of these took hours
    try:
        assert read_svg(tmp_path / "x.svg")
    except ValueError as error:
        assert "simplify it" in str(error)
    finally:
        signal.alarm(0)


def test_style_sheets_are_followed(strokes_of):
    sheet = "<style>/* { */ .a, rect { fill: none } #b{stroke:white;fill:white} path.c{display:none !important}</style>"
    hidden = '<path class="x a" d="M0 0h9"/><rect width="5" height="5"/><path id="b" d="M0 0h8"/>'
    hidden += '<path class="c" d="M0 0h7"/>'
    assert strokes_of(f'{hidden}<path class="a" style="stroke:red" d="M0 0h255"/>{sheet}') == [[[0, 0], [255, 0]]]


def test_a_missing_file_is_named():
    with pytest.raises(ValueError, match=r"no/x\.svg cannot be read \(No such file"):
        read_svg(Path("no/x.svg"))


@settings(max_examples=100, deadline=None)
@given(st.text("MmLlCcQqAaZzHhVv0123456789-., e", max_size=40), st.text("rotate(scale1,2)-", max_size=20))
def test_any_path_data_gives_strokes_or_a_value_error(tmp_path_factory, data, transform):
    path = tmp_path_factory.getbasetemp() / "any.svg"
    path.write_text(f'{START}<path d="{data}" transform="{transform}"/></svg>')
    try:
        strokes = read_svg(path)
    except ValueError as error:
        assert str(error).startswith(str(path))
    else:
        assert all(len(stroke) and stroke.dtype == np.uint8 for stroke in strokes)


def test_a_gzip_is_read_whatever_its_name(tmp_path):
    content = gzip.compress(f"{START}{LINE}</svg>".encode())
    for name in ("x.svgz", "x.svg"):
        (tmp_path / name).write_bytes(content)
        assert [stroke.tolist() for stroke in read_svg(tmp_path / name)] == [[[0, 0], [255, 198]]]
    bomb = gzip.compress(START.encode() + LINE.encode() + b" " * 50_000_000 + b"</svg>")
    for damaged, message in (
        (content[:-9], "cut short"),
        (content[:20] + b"??" + content[22:], "gzip"),
        (bomb, "unpacked"),
    ):
        (tmp_path / "x.svgz").write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"x\.svgz .*{message}"):
            read_svg(tmp_path / "x.svgz")


def test_entities_of_the_file_itself_are_followed(tmp_path):
    entities = '<!ENTITY ink "fill:none;stroke:#000000;"><!ENTITY ns "http://ns.example.com/i/">'
    (tmp_path / "x.svg").write_text(
        f'<!DOCTYPE svg [{entities}]><svg xmlns="http://www.w3.org/2000/svg" xmlns:i="&ns;" viewBox="0 0 40 40">'
        '<path i:x="1" style="&ink;" d="M0 0 L9 7"/></svg>'
    )
    assert [stroke.tolist() for stroke in read_svg(tmp_path / "x.svg")] == [[[0, 0], [255, 198]]]


@pytest.mark.parametrize(
    ("declared", "body", "message"),
    [
        ('<!ENTITY a "&b;"><!ENTITY b "x">', "&a;", "entities that hold entities"),
        ('<!ENTITY a SYSTEM "file:///etc/passwd">', "&a;", "entities outside of it"),
        (f'<!ENTITY a "{"x" * 9_000}">', "&a;" * 9_000, "entities that make it too large"),
        (f'<!ENTITY a "{"x" * 90_000}">', "&a;", "entities that make it too large"),
    ],
    ids=["nested", "outside", "many", "long"],
)
def test_entities_that_could_grow_or_are_elsewhere_are_refused(tmp_path, declared, body, message):
    (tmp_path / "x.svg").write_text(f"<!DOCTYPE svg [{declared}]>{START}{LINE}<desc>{body}</desc></svg>")
    with pytest.raises(ValueError, match=rf"x\.svg declares {message}.*save it as plain SVG"):
        read_svg(tmp_path / "x.svg")


def test_use_that_refers_to_itself_ends(strokes_of):
    assert strokes_of(f'<g id="a">{LINE}<use href="#a"/></g>') == [[[0, 0], [255, 198]]]
    nested = "".join(f'<g id="g{i}">{f"""<use href="#g{i + 1}"/>""" * 9}</g>' for i in range(9))
    with pytest.raises(ValueError, match="has more than 10,000 elements: simplify it"):
        strokes_of(f"<defs>{nested}</defs><use href='#g0'/>{LINE}")


@pytest.mark.parametrize(
    ("extra", "kind"),
    [
        ("<text>cat</text>", "text"),
        ('<image href="x.png" width="9" height="9"/>', "a raster image"),
        ('<g mask="url(#m)"><path d="M0 0h9"/></g>', "a mask"),
        ('<pattern id="p"/><circle r="9" fill="url(#p)"/>', "a pattern"),
        ('<linearGradient id="p"><stop/></linearGradient><circle r="9" fill="url(#p)"/>', "a gradient"),
    ],
)
def test_what_strokes_cannot_show_is_told_once(strokes_of, caplog, monkeypatch, extra, kind):
    monkeypatch.setattr("deepdraw.drawings.svg._told", set())
    for _ in range(2):
        strokes_of(LINE + extra)
    (record,) = caplog.records
    assert f"x.svg has {kind}, which strokes cannot show" in record.message


def test_a_file_of_text_alone_is_refused(strokes_of):
    with pytest.raises(ValueError, match=r"has no strokes: .* in ink, and it has only text"):
        strokes_of("<text>cat</text>")


def test_strokes_of_one_color_that_cross_or_touch_stay_whole(strokes_of):
    """Ink does not hide ink: a drawing in broad lines has the same strokes as one in fine lines."""
    cross = '<path d="M0 0L255 255"/><path d="M255 0L0 255"/><path d="M3 0L255 250"/><path d="M9 9H20"/>'
    broad, fine = (
        strokes_of(f'{paper}<g fill="none" stroke="black" stroke-width="{width}">{cross}</g>')
        for width, paper in ((20, '<circle r="2" cx="200" cy="20" fill="white"/>'), (1, ""))
    )
    assert broad == fine
    assert len(fine) == 4


def test_an_eraser_leaves_no_stroke_of_its_own_but_within_an_area(strokes_of):
    eraser = '<path fill="none" stroke="white" stroke-width="20" d="{}"/>'
    ink = '<path fill="none" stroke="black" d="M0 0H300"/>'
    first, second = strokes_of(ink + eraser.format("M150 -50V50"))
    assert np.abs(np.subtract([first, second], [[[0, 0], [119, 0]], [[136, 0], [255, 0]]])).max() <= 1
    circle = '<circle cx="200" cy="200" r="100"/>'
    beside, across = (strokes_of(circle + eraser.format(path)) for path in ("M80 105H320M300 80V320", "M150 200H250"))
    assert all(len(stroke) > 2 for stroke in beside), "only parts of the circle"
    (line,) = [stroke for stroke in across if len(stroke) == 2]
    assert np.abs(np.subtract(line, [[64, 128], [191, 128]])).max() <= 3
