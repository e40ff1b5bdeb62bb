"""Prompts in good English, and the text classifier against open_clip's own."""

import re

import pytest
import torch

from deepdraw.data.quickdraw.categories import CATEGORIES
from deepdraw.models.prompts import PROMPTS, fill, find_templates, prompts, text_classifier

torch.set_num_threads(1)

NAMES = ["The Eiffel Tower", "t-shirt", "animal migration", "umbrella", "bee"]


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("bee", "a bee"),
        ("umbrella", "an umbrella"),
        ("ice cream", "an ice cream"),
        ("hourglass", "an hourglass"),
        ("house", "a house"),
        ("unicorn", "a unicorn"),
        ("onion", "an onion"),
        ("t-shirt", "a t-shirt"),
        ("The Eiffel Tower", "the Eiffel Tower"),
        ("The Great Wall of China", "the Great Wall of China"),
        ("The Mona Lisa", "the Mona Lisa"),
        ("scissors", "scissors"),
        ("animal migration", "migrating animals"),
        ("rollerskates", "roller skates"),
        ("firetruck", "a fire truck"),
        ("see saw", "a seesaw"),
    ],
)
@pytest.mark.parametrize("templates", ["sketch", "ensemble"])
def test_prompts_name_the_class_as_one_would_say_it(name, phrase, templates):
    assert prompts(name, templates)[0] == f"a sketch of {phrase}."
    assert all(phrase in prompt for prompt in prompts(name, templates))


def test_a_name_without_an_article_in_the_template_gets_none():
    assert fill("{} on white paper", "The Eiffel Tower") == "the Eiffel Tower on white paper"
    assert fill("{} on white paper", "umbrella") == "umbrella on white paper"
    assert fill("an {} on white paper", "bee") == "a bee on white paper"


@pytest.mark.parametrize("templates", PROMPTS)
@pytest.mark.parametrize("name", ["bee", "scissors", "The Eiffel Tower"])
def test_every_prompt_of_a_class_is_another(name, templates):
    assert len(set(prompts(name, templates))) == len(PROMPTS[templates])


def test_the_sets_are_one_photo_then_sketches_then_all_of_these_and_more():
    assert prompts("bee", "plain") == ["a photo of a bee."]
    assert prompts("bee") == prompts("bee", "sketch")
    assert {*PROMPTS["plain"], *PROMPTS["sketch"]} < set(PROMPTS["ensemble"])


def test_no_prompt_says_an_article_twice_or_leaves_its_place_open():
    wrong = re.compile(r"[{}]|\b(an?|the) (an?|the)\b|\ba [aeio]|\ban [^aeiouh]", re.IGNORECASE)
    assert not [prompt for name in CATEGORIES for prompt in prompts(name, "ensemble") if wrong.search(prompt)]
    assert len({prompts(name)[0] for name in CATEGORIES}) == len(CATEGORIES)


def test_a_list_of_ones_own_is_a_set_too():
    own = ["a scribble of a {}.", "{}"]
    assert find_templates(own) == own
    assert prompts("octopus", own) == ["a scribble of an octopus.", "octopus"]


@pytest.mark.parametrize("templates", [[], ["a sketch"], ["a sketch of a {}.", "a {} and a {}"], [3]])
def test_templates_without_one_place_for_the_name_are_refused(templates):
    with pytest.raises(ValueError, match=r"must have one \{\} for the name of a class$") as refused:
        find_templates(templates)
    assert str(refused.value).startswith(f"protocol.prompts={templates}")


def test_an_unknown_set_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"^protocol.prompts=skecth is unknown: choose plain, sketch, ensemble, or"):
        find_templates("skecth")


def bag_of_letters(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[text.count(letter) for letter in "abcdefghijklmnop"] for text in texts]).float()


def test_a_class_is_the_normalized_mean_of_its_normalized_prompts():
    weights = text_classifier(bag_of_letters, NAMES)
    for row, name in zip(weights, NAMES, strict=True):
        embeddings = bag_of_letters(prompts(name))
        mean = (embeddings / embeddings.norm(dim=1, keepdim=True)).mean(dim=0)
        torch.testing.assert_close(row, mean / mean.norm())


@pytest.mark.parametrize("templates", [*PROMPTS, ["a scribble of a {}.", "{}"]])
def test_text_classifier_is_open_clips(templates):
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(0)
    clip = open_clip.CLIP(
        embed_dim=16,
        vision_cfg={"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
        text_cfg={"width": 32, "heads": 2, "layers": 2},
    ).eval()
    tokenizer = open_clip.SimpleTokenizer()
    number = len(prompts("bee", templates))
    expected = open_clip.build_zero_shot_classifier(
        clip, tokenizer, NAMES, [lambda name, i=i: prompts(name, templates)[i] for i in range(number)]
    )
    weights = text_classifier(lambda texts: clip.encode_text(tokenizer(texts)), NAMES, templates)
    assert not weights.requires_grad
    torch.testing.assert_close(weights, expected.T)
