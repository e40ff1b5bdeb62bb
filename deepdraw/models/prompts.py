"""Turns class names into prompts, and their text features into a classifier for unseen classes."""

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# plain: CLIP's plain prompt. sketch: the ImageNet templates of CLIP that mention drawings, and "A quickdraw of a {}" of
# FoMo-in-Flux. ensemble: both, and other templates for ways to depict a thing.
PROMPTS = {
    "plain": ("a photo of a {}.",),
    "sketch": (
        "a sketch of a {}.",
        "a drawing of a {}.",
        "a doodle of a {}.",
        "a quickdraw of a {}.",
        "a line drawing of a {}.",
        "a simple black and white drawing of a {}.",
    ),
}
PROMPTS["ensemble"] = (
    *PROMPTS["sketch"],
    *PROMPTS["plain"],
    "a black and white photo of a {}.",
    "a cartoon of a {}.",
    "an icon of a {}.",
    "a rendition of a {}.",
    "a tattoo of a {}.",
    "graffiti of a {}.",
    "art of a {}.",
)

# The name in a caption, for categories whose own name is rare or more often means something else.
_SPOKEN = {
    "animal migration": "migrating animals",
    "bat": "bat with spread wings",
    "bottlecap": "bottle cap",
    "cooler": "cool box",
    "firetruck": "fire truck",
    "mouse": "mouse, the animal",
    "nail": "metal nail",
    "rollerskates": "roller skates",
    "saw": "hand saw",
    "see saw": "seesaw",
    "stitches": "stitches in a wound",
    "streetlight": "street light",
    "string bean": "green bean",
    "teddy-bear": "teddy bear",
    "waterslide": "water slide",
    "yoga": "person doing yoga",
}

# Quick, Draw! names that are plural or not countable: "a sketch of scissors", not "of a scissors".
_WITHOUT_ARTICLE = {
    *(
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
    *("migrating animals", "roller skates", "scissors", "shorts", "stairs", "stitches in a wound"),
    *("toothpaste", "underwear"),
}
_SPOKEN_VOWEL = re.compile(r"(?!uni|eu|one\b)[aeiou]|hour|heir", re.IGNORECASE)


def find_templates(prompts: str | Sequence[str]) -> Sequence[str]:
    """The templates of a set in `PROMPTS`, or a given list of templates, each with {} for the name.

    Raises:
        ValueError: there is no such set, or a template does not have exactly one {}.
    """
    if isinstance(prompts, str):
        if prompts not in PROMPTS:
            raise ValueError(
                f"protocol.prompts={prompts} is unknown: choose {', '.join(PROMPTS)}, "
                "or list your own, such as ['a sketch of a {}.']"
            )
        return PROMPTS[prompts]
    if not prompts or not all(isinstance(template, str) and template.count("{}") == 1 for template in prompts):
        raise ValueError(f"protocol.prompts={list(prompts)}: each must have one {{}} for the name of a class")
    return list(prompts)


def fill(template: str, name: str) -> str:
    """Fill a name into a template with the right article: "a sketch of an umbrella.", "a sketch of scissors."."""
    spoken = _SPOKEN.get(name, name)
    if spoken.startswith("The "):
        spoken = with_article = f"the {spoken[4:]}"
    elif spoken in _WITHOUT_ARTICLE:
        with_article = spoken
    else:
        with_article = f"{'an' if _SPOKEN_VOWEL.match(spoken) else 'a'} {spoken}"
    return re.sub(r"\ban? \{\}", lambda _: with_article, template).replace("{}", spoken)


def prompts(name: str, templates: str | Sequence[str] = "sketch") -> list[str]:
    """The prompts for a class `name`, one for each template."""
    return [fill(template, name) for template in find_templates(templates)]


@torch.no_grad()
def text_classifier(
    encode_text: Callable[[list[str]], Tensor], class_names: Sequence[str], templates: str | Sequence[str] = "sketch"
) -> Tensor:
    """Unit text features [C, D], one per class: the normalized mean of its normalized prompt embeddings.

    `encode_text` maps N prompts to embeddings [N, D]. It is called once, with the prompts of all classes. `templates`:
    as for `find_templates`. The result is that of open_clip's `build_zero_shot_classifier`, transposed (Radford et al.,
    2021, section 3.1.4).
    """
    texts = [prompt for name in class_names for prompt in prompts(name, templates)]
    embeddings = F.normalize(encode_text(texts).float(), dim=-1)
    return F.normalize(embeddings.unflatten(0, (len(class_names), -1)).mean(dim=1), dim=-1)
