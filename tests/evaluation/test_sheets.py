"""Sheets of drawings: right and wrong readings, the worst mistakes, one drawing of each class."""

import numpy as np
from PIL import Image

from deepdraw.evaluation.predictions import Predictions
from deepdraw.report.sheets import mistakes, most_typical, plot_sheet, typical


def sheet(tmp_path, num_drawings: int, num_wrong: int, names=("fish", "house", "The Great Wall of China")):
    """A picture of `num_drawings` white images, the first `num_wrong` of which are misread."""
    labels = np.arange(num_drawings) % len(names)
    logits = np.eye(len(names), dtype=np.float32)[(labels + (np.arange(num_drawings) < num_wrong)) % len(names)]
    images = np.full((num_drawings, 32, 32), 255, dtype=np.uint8)
    plot_sheet(images, labels, 5 * logits, names, tmp_path / "plots" / "sheet.png")
    return np.asarray(Image.open(tmp_path / "plots" / "sheet.png").convert("RGB"))


def num_pixels(picture: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - color).max(axis=-1) < 8).sum())


BLUE, VERMILION = (0, 0x72, 0xB2), (0xD5, 0x5E, 0)


def test_right_and_wrong_readings_have_their_own_colors(tmp_path):
    picture = sheet(tmp_path, 10, num_wrong=0)
    assert num_pixels(picture, BLUE) > 0
    assert num_pixels(picture, VERMILION) == 0
    picture = sheet(tmp_path, 10, num_wrong=10)
    assert num_pixels(picture, BLUE) == 0
    assert num_pixels(picture, VERMILION) > 0


def test_images_of_three_channels_are_shown_in_color(tmp_path):
    images = np.zeros((4, 3, 32, 32), np.uint8)
    images[:, 1] = 200
    plot_sheet(images, np.zeros(4, int), np.eye(2, dtype=np.float32)[[0] * 4], ("a", "b"), tmp_path / "sheet.png")
    picture = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert num_pixels(picture, (0, 200, 0)) > 4 * 100 * 100


def test_the_sheet_grows_by_the_mistakes_and_no_further_than_its_two_halves(tmp_path):
    heights = [sheet(tmp_path, *counts).shape[0] for counts in ((8, 0), (8, 2), (30, 26), (40, 40))]
    assert heights[0] < heights[1] < heights[2] == heights[3]


def test_a_class_name_may_be_anything_short_or_long(tmp_path):
    sheet(tmp_path, 4, num_wrong=2, names=("$x", "", "W" * 500))


def answers(labels: list[int], predicted: list[int], confidences: list[float]) -> Predictions:
    ranks = np.where(np.array(labels) == predicted, 0, 1)
    ids = np.arange(len(labels)).astype(np.uint64)
    as_uint16 = (np.array(column, np.uint16) for column in (labels, predicted))
    names = ["cat", "dog", "fish"]
    return Predictions(names, ids, *as_uint16, np.array(confidences, np.float32), ranks.astype(np.uint16))


def test_a_typical_drawing_is_the_most_confident_right_one():
    assert most_typical(answers([0, 0, 0, 1], [0, 0, 1, 1], [0.6, 0.8, 0.9, 0.2])).tolist() == [1, 3]


def test_a_class_never_read_rightly_shows_the_drawing_that_came_nearest(scribble):
    predictions = answers([0, 1, 1], [0, 0, 0], [0.6, 0.8, 0.9])
    predictions.ranks[1] = 2
    assert most_typical(predictions).tolist() == [0, 2]
    assert "1 classes were never read rightly" in typical(predictions, scribble).description


def test_mistakes_are_shown_the_most_confident_first():
    asked = []

    def draw(positions, size):
        asked.extend(positions.tolist())
        return np.zeros((len(positions), size, size), np.uint8)

    picture = mistakes(answers([0, 1, 2, 0], [1, 1, 0, 2], [0.5, 0.9, 0.7, 0.6]), draw)
    assert asked == [2, 3, 0]
    assert "fish, read as cat with a probability of 70 %" in picture.description


def test_without_mistakes_there_is_no_sheet_of_them(scribble):
    assert mistakes(answers([0, 1], [0, 1], [0.5, 0.9]), scribble) is None
