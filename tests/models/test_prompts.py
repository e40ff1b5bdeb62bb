"""Prompts in good English, and the text classifier against open_clip's own."""

import pytest
import torch

from deepdraw.models.prompts import SKETCH_TEMPLATES, prompts, text_classifier

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
        ("scissors", "scissors"),
        ("animal migration", "animal migration"),
    ],
)
def test_prompts_name_the_class_as_one_would_say_it(name, phrase):
    assert prompts(name)[0] == f"a sketch of {phrase}."
    assert all(phrase in prompt for prompt in prompts(name))


def test_every_prompt_of_a_class_is_another():
    assert len(set(prompts("bee"))) == len(SKETCH_TEMPLATES)


def bag_of_letters(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[text.count(letter) for letter in "abcdefghijklmnop"] for text in texts]).float()


def test_a_class_is_the_normalised_mean_of_its_normalised_prompts():
    weights = text_classifier(bag_of_letters, NAMES)
    for row, name in zip(weights, NAMES, strict=True):
        embeddings = bag_of_letters(prompts(name))
        mean = (embeddings / embeddings.norm(dim=1, keepdim=True)).mean(dim=0)
        torch.testing.assert_close(row, mean / mean.norm())


def test_text_classifier_is_open_clips():
    open_clip = pytest.importorskip("open_clip")
    torch.manual_seed(0)
    clip = open_clip.CLIP(
        embed_dim=16,
        vision_cfg={"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
        text_cfg={"width": 32, "heads": 2, "layers": 2},
    ).eval()
    tokenizer = open_clip.SimpleTokenizer()
    expected = open_clip.build_zero_shot_classifier(
        clip, tokenizer, NAMES, [lambda name, i=i: prompts(name)[i] for i in range(len(SKETCH_TEMPLATES))]
    )
    weights = text_classifier(lambda texts: clip.encode_text(tokenizer(texts)), NAMES)
    assert not weights.requires_grad
    torch.testing.assert_close(weights, expected.T)
