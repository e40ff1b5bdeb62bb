"""deepdraw.load: a drawing gets the answer that it got in training, from the checkpoint alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import deepdraw
from deepdraw.data.loader import Loader
from deepdraw.data.shards import Shards
from deepdraw.training.checkpoint import load_checkpoint


@pytest.fixture
def best(trained):
    return trained / "checkpoints/best.pt"


@pytest.fixture
def split(polygon_root):
    return Shards(str(polygon_root)).split("test")


@pytest.fixture
def drawings(split):
    (block,) = split
    return [block.strokes(index) for index in range(len(block))]


def test_a_drawing_gets_the_logits_that_it_got_in_evaluation(best, split, drawings):
    recognizer = deepdraw.load(best)
    trained = recognizer.trained
    loader = Loader(split, trained.rasterizer, batch_size=90, shuffle=False, device=torch.device("cpu"), num_workers=0)
    (batch,) = loader.epoch()
    with torch.inference_mode(), trained.precision.autocast():
        expected = trained.model(batch.inputs).float().numpy()
        features = trained.model.features(batch.inputs).float().numpy()
    assert np.array_equal(recognizer.images(drawings), batch.inputs.numpy())
    assert np.array_equal(recognizer.logits(drawings, batch_size=90), expected)
    assert np.array_equal(recognizer.features(drawings, batch_size=90), features)
    guesses = recognizer.predict(drawings, top=1, batch_size=90)
    assert [guess.name for (guess,) in guesses] == [recognizer.classes[k] for k in expected.argmax(axis=1)]


def test_the_batch_size_does_not_matter(best, drawings):
    recognizer = deepdraw.load(best)
    assert np.allclose(recognizer.logits(drawings, batch_size=7), recognizer.logits(drawings), atol=1e-5)


def test_guesses_are_sorted_named_and_add_up_to_one(best, drawings):
    for guesses in deepdraw.load(best).predict(drawings):
        assert {name for name, _ in guesses} == {"triangle", "square", "octagon"}
        probabilities = [guess.probability for guess in guesses]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1)


def test_one_drawing_is_a_list_of_one(best, drawings):
    recognizer = deepdraw.load(best)
    (guesses,) = recognizer.predict(drawings[3], top=2)
    assert [guess.name for guess in guesses] == [guess.name for guess in recognizer.predict(drawings)[3][:2]]
    assert recognizer.predict([]) == []


def test_probabilities_are_those_of_the_temperature_fitted_on_val(best, drawings):
    content = load_checkpoint(best)
    content["best"]["val/temperature"] = 2.0
    torch.save(content, best)
    recognizer = deepdraw.load(best)
    expected = torch.softmax(torch.from_numpy(recognizer.logits(drawings)) / 2, dim=1).max(dim=1).values
    assert [row[0].probability for row in recognizer.predict(drawings)] == pytest.approx(expected.tolist())


@pytest.mark.parametrize(("options", "message"), [({"top": 0}, "top=0"), ({"batch_size": 0}, "batch_size=0")])
def test_numbers_that_ask_for_nothing_are_refused(best, drawings, options, message):
    with pytest.raises(ValueError, match=message):
        deepdraw.load(best).predict(drawings, **options)


def test_features_that_are_no_numbers_are_refused(best, drawings):
    recognizer = deepdraw.load(best)
    next(recognizer.trained.model.backbone.parameters()).data.fill_(np.nan)
    with pytest.raises(ValueError, match="use precision=fp32"):
        recognizer.predict(drawings)


def test_a_recognizer_says_what_it_is(best):
    assert repr(deepdraw.load(best)) == f"Recognizer({best}: resnet10t, 3 classes)"


def test_importing_deepdraw_imports_nothing_heavy():
    code = "import sys, deepdraw; print({'torch', 'numpy', 'cv2', 'hydra'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
