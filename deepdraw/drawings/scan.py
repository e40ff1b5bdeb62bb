"""Reads the usual lines of ndjson and the records of .bin files, thousands in one compiled call.

A usual line is JSON in ASCII, without escapes, of a drawing in the simplified form: strokes of two arrays with as many
whole numbers in 0..255, at least one. At any other line the call stops, and `records.py`, which knows all forms and
says what is wrong with a line, reads that one. So a line that is read here is one that it would read the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.compiled import compiled

QUOTE, COMMA, COLON, NEWLINE, BACKSLASH = map(ord, '",:\n\\')
OPEN, CLOSE, BRACE, END = map(ord, "[]{}")
ZERO, NINE = map(ord, "09")
MOST = 2**16 - 1  # strokes of a drawing, and points of a stroke
DIGITS = 18  # that fit 64 bits, whatever they are
KEYS = ("word", "recognized", "key_id", "drawing")
WORD, RECOGNIZED, KEY_ID, DRAWING = 1, 2, 4, 8  # bits: which keys a line has
_word, _recognized, _key_id, _drawing, _true, _false, _null = (
    np.frombuffer(text.encode(), np.uint8) for text in (*KEYS, "true", "false", "null")
)
UNKNOWN = -1  # recognized, where a line does not say


@compiled
def scan_lines(
    text: NDArray[np.uint8],
    start: int,
    word: NDArray[np.uint8],
    longest: int,
    points: NDArray[np.uint8],
    stroke_lengths: NDArray[np.uint16],
    stroke_counts: NDArray[np.uint16],
    key_ids: NDArray[np.uint64],
    recognized: NDArray[np.int8],
    has_key: NDArray[np.bool_],
) -> tuple[int, int, int, int]:
    """Read usual lines from `start` on into the arrays, up to the end of the text or a line that is not usual.

    text: uint8, ends with a line end; word: what a line's "word" must be; longest: the most bytes of a line; points
    [P, 2] and the others: as in `Drawings`, large enough for the text. Returns the position reached, and how many
    drawings, strokes and points were read.
    """
    drawings = strokes = end = 0
    while start < len(text):
        at, seen = _space(text, start), 0
        if text[at] != BRACE:
            break
        at = _space(text, at + 1)
        stroke, point = strokes, end
        recognized[drawings], has_key[drawings] = UNKNOWN, False
        while True:  # a key and its value
            first = at + 1
            at = _string(text, at)
            if at < 0:
                break
            name = text[first : at - 1]
            at, key = _space(text, at), _key(name)
            if text[at] != COLON or key & seen:  # of two values of one key the last holds
                at = -1
                break
            at, seen = _space(text, at + 1), seen | key
            if key == DRAWING:
                at, stroke, point = _strokes(text, at, points, stroke_lengths, stroke, point)
            elif key == KEY_ID:
                at, key_ids[drawings] = _whole_number(text, at)
                has_key[drawings] = True
            elif key == RECOGNIZED:
                if _is(text, at, _true):
                    at, recognized[drawings] = at + 4, 1
                elif _is(text, at, _false):
                    at, recognized[drawings] = at + 5, 0
                else:
                    at = at + 4 if _is(text, at, _null) else -1
            elif key == WORD:
                at = at + len(word) + 2 if text[at] == QUOTE and _is(text, at + 1, word) else -1
                at = at if at > 0 and text[at - 1] == QUOTE else -1
            else:
                at = _other(text, at)
            if at < 0:
                break
            at = _space(text, at)
            if text[at] != COMMA:
                break
            at = _space(text, at + 1)
        if at < 0 or text[at] != END or not seen & DRAWING:
            break
        at = _space(text, at + 1)
        if text[at] != NEWLINE or at + 1 - start > longest:
            break
        start = at + 1
        stroke_counts[drawings] = stroke - strokes
        drawings, strokes, end = drawings + 1, stroke, point
    return start, drawings, strokes, end


@compiled
def _space(text: NDArray[np.uint8], at: int) -> int:
    """Where the white space of JSON that begins at `at` ends."""
    while text[at] == 32 or text[at] == 9 or text[at] == 13:
        at += 1
    return at


@compiled
def _is(text: NDArray[np.uint8], at: int, expected: NDArray[np.uint8]) -> bool:
    """Whether the text goes on like this. No expected text has a line end, so this does not look beyond the last."""
    k = 0
    while k < len(expected) and text[at + k] == expected[k]:
        k += 1
    return k == len(expected)


@compiled
def _key(name: NDArray[np.uint8]) -> int:
    """The bit of a key, 0 for one that is of no interest."""
    if len(name) == len(_word) and _is(name, 0, _word):
        return WORD
    if len(name) == len(_recognized) and _is(name, 0, _recognized):
        return RECOGNIZED
    if len(name) == len(_key_id) and _is(name, 0, _key_id):
        return KEY_ID
    if len(name) == len(_drawing) and _is(name, 0, _drawing):
        return DRAWING
    return 0


@compiled
def _string(text: NDArray[np.uint8], at: int) -> int:
    """Where a string without escapes, in ASCII, ends; -1 if there is none."""
    if text[at] != QUOTE:
        return -1
    at += 1
    while text[at] != QUOTE:
        if text[at] < 32 or text[at] > 126 or text[at] == BACKSLASH:
            return -1
        at += 1
    return at + 1


@compiled
def _digits(text: NDArray[np.uint8], at: int) -> int:
    """Where the digits end that begin at `at`."""
    while ZERO <= text[at] <= NINE:
        at += 1
    return at


@compiled
def _whole_number(text: NDArray[np.uint8], at: int) -> tuple[int, np.uint64]:
    """A number of digits alone, or a string of them: where it ends, -1 if it is none or longer, and its value."""
    quoted = text[at] == QUOTE
    first = at + 1 if quoted else at
    end = _digits(text, first)
    value = np.uint64(0)
    if not 0 < end - first <= DIGITS or (text[end] == QUOTE) != quoted:
        return -1, value
    if not quoted and text[first] == ZERO and end > first + 1:  # JSON has no such number
        return -1, value
    for k in range(first, end):
        value = value * np.uint64(10) + np.uint64(text[k] - ZERO)
    return end + 1 if quoted else end, value


@compiled
def _other(text: NDArray[np.uint8], at: int) -> int:
    """Where a string, a whole number, true, false or null ends; -1 for any other value."""
    if text[at] == QUOTE:
        return _string(text, at)
    if _is(text, at, _true) or _is(text, at, _null):
        return at + 4
    if _is(text, at, _false):
        return at + 5
    return _whole_number(text, at)[0]


@compiled
def _strokes(
    text: NDArray[np.uint8],
    at: int,
    points: NDArray[np.uint8],
    stroke_lengths: NDArray[np.uint16],
    stroke: int,
    point: int,
) -> tuple[int, int, int]:
    """Read the strokes of a drawing: where they end, -1 if they are not usual, and the next stroke and point."""
    if text[at] != OPEN:
        return -1, stroke, point
    most = stroke + MOST
    while True:
        at = _space(text, at + 1)
        if text[at] != OPEN or stroke == most:
            return -1, stroke, point
        at, x_end = _coordinates(text, _space(text, at + 1), points, point, 0)
        if at < 0 or text[at] != COMMA:
            return -1, stroke, point
        at, y_end = _coordinates(text, _space(text, at + 1), points, point, 1)
        if at < 0 or text[at] != CLOSE or x_end != y_end or x_end - point > MOST:
            return -1, stroke, point
        stroke_lengths[stroke] = x_end - point
        stroke, point = stroke + 1, x_end
        at = _space(text, at + 1)
        if text[at] == CLOSE:
            return at + 1, stroke, point
        if text[at] != COMMA:
            return -1, stroke, point


@compiled
def _coordinates(text: NDArray[np.uint8], at: int, points: NDArray[np.uint8], point: int, axis: int) -> tuple[int, int]:
    """Read an array of whole numbers in 0..255, at least one, and the space behind it: where it ends, or -1."""
    if text[at] != OPEN:
        return -1, point
    while True:
        at = _space(text, at + 1)
        first = at
        value = 0
        while ZERO <= text[at] <= NINE and at - first < 3:
            value = 10 * value + text[at] - ZERO
            at += 1
        if at == first or value > 255 or (text[first] == ZERO and at > first + 1) or point == len(points):
            return -1, point
        points[point, axis] = value
        point += 1
        at = _space(text, at)
        if text[at] == CLOSE:
            return _space(text, at + 1), point
        if text[at] != COMMA:
            return -1, point


@compiled
def scan_records(
    content: NDArray[np.uint8],
    points: NDArray[np.uint8],
    stroke_lengths: NDArray[np.uint16],
    stroke_counts: NDArray[np.uint16],
    key_ids: NDArray[np.uint64],
    recognized: NDArray[np.int8],
    num_empty_strokes: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Read whole records of a .bin file into the arrays, up to one that is not whole or says no truth value.

    Returns, like `scan_lines`, the position reached, and how many drawings, strokes and points were read.
    """
    start = drawings = strokes = end = 0
    while start + 17 <= len(content):
        number = content[start + 15] + 256 * content[start + 16]
        at, stroke, point = start + 17, strokes, end
        for _ in range(number):
            if at + 2 > len(content):
                return start, drawings, strokes, end
            length = content[at] + 256 * content[at + 1]
            at += 2
            if at + 2 * length > len(content):
                return start, drawings, strokes, end
            for k in range(length):
                points[point + k, 0] = content[at + k]
                points[point + k, 1] = content[at + length + k]
            at += 2 * length
            if length:
                stroke_lengths[stroke] = length
                stroke, point = stroke + 1, point + length
        if content[start + 10] > 1:
            break
        key_id = np.uint64(0)
        for k in range(7, -1, -1):
            key_id = key_id * np.uint64(256) + np.uint64(content[start + k])
        key_ids[drawings], recognized[drawings] = key_id, content[start + 10]
        stroke_counts[drawings], num_empty_strokes[drawings] = stroke - strokes, number - (stroke - strokes)
        start, drawings, strokes, end = at, drawings + 1, stroke, point
    return start, drawings, strokes, end
