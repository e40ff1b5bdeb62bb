"""Class names, put into prompts and through a text encoder, as a classifier of drawings never seen."""

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# The drawing lines of CLIP's ImageNet templates, and FoMo-in-Flux's "A quickdraw of a {}".
SKETCH_TEMPLATES = (
    "a sketch of {}.",
    "a drawing of {}.",
    "a doodle of {}.",
    "a quickdraw of {}.",
    "a line drawing of {}.",
    "a simple black and white drawing of {}.",
)

# Quick, Draw! names that are plural or not countable: "a sketch of scissors", not "of a scissors".
_WITHOUT_ARTICLE = {
    *(
        "animal migration",
        "asparagus",
        "binoculars",
        "bread",
        "broccoli",
        "camouflage",
        "drums",
        "eyeglasses",
    ),
    *(
        "flip flops",
        "grapes",
        "grass",
        "headphones",
        "lightning",
        "matches",
        "pants",
        "peas",
        "pliers",
        "rain",
    ),
    *("rollerskates", "scissors", "shorts", "stairs", "stitches", "toothpaste", "underwear", "yoga"),
}
_SPOKEN_VOWEL = re.compile(r"(?!uni|eu|one\b)[aeiou]|hour|heir", re.IGNORECASE)


def prompts(name: str) -> list[str]:
    """What a caption might say of a sketch of `name`: "a sketch of an umbrella.", "a drawing of ..."."""
    return [template.format(_with_article(name)) for template in SKETCH_TEMPLATES]


@torch.no_grad()
def text_classifier(encode_text: Callable[[list[str]], Tensor], class_names: Sequence[str]) -> Tensor:
    """Unit text features [C, D], one per class: the normalised mean of its normalised prompt embeddings.

    `encode_text` maps N prompts to embeddings [N, D]; it is called once, with the prompts of all classes.
    The same as open_clip's `build_zero_shot_classifier`, transposed (Radford et al., 2021, section 3.1.4).
    """
    embeddings = F.normalize(encode_text([prompt for name in class_names for prompt in prompts(name)]).float(), dim=-1)
    return F.normalize(embeddings.unflatten(0, (len(class_names), -1)).mean(dim=1), dim=-1)


def _with_article(name: str) -> str:
    if name.startswith("The "):
        return f"the {name[4:]}"
    if name in _WITHOUT_ARTICLE:
        return name
    return f"{'an' if _SPOKEN_VOWEL.match(name) else 'a'} {name}"
