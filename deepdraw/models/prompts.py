"""Class names, put into prompts and through a text encoder, as a classifier of drawings never seen."""

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# CLIP's plain prompt; the drawing lines of its ImageNet templates with FoMo-in-Flux's "A quickdraw of a {}"; and these
# with others that say how a thing may be shown.
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

# What a caption would call it, where Quick, Draw!'s own name is rare or means another thing more often.
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
    """The templates of a set in `PROMPTS`, or a list of one's own, each with {} for the name.

    Raises:
        ValueError: there is no such set, or a template has no place for the name.
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
    """What a caption would say: "a sketch of a {}." becomes "a sketch of an umbrella.", "a sketch of scissors."."""
    spoken = _SPOKEN.get(name, name)
    if spoken.startswith("The "):
        spoken = with_article = f"the {spoken[4:]}"
    elif spoken in _WITHOUT_ARTICLE:
        with_article = spoken
    else:
        with_article = f"{'an' if _SPOKEN_VOWEL.match(spoken) else 'a'} {spoken}"
    return re.sub(r"\ban? \{\}", lambda _: with_article, template).replace("{}", spoken)


def prompts(name: str, templates: str | Sequence[str] = "sketch") -> list[str]:
    """What captions might say of a picture of `name`, by each of the templates."""
    return [fill(template, name) for template in find_templates(templates)]


@torch.no_grad()
def text_classifier(
    encode_text: Callable[[list[str]], Tensor], class_names: Sequence[str], templates: str | Sequence[str] = "sketch"
) -> Tensor:
    """Unit text features [C, D], one per class: the normalized mean of its normalized prompt embeddings.

    `encode_text` maps N prompts to embeddings [N, D]; it is called once, with the prompts of all classes, made of the
    `templates` that `find_templates` knows.
    The same as open_clip's `build_zero_shot_classifier`, transposed (Radford et al., 2021, section 3.1.4).
    """
    texts = [prompt for name in class_names for prompt in prompts(name, templates)]
    embeddings = F.normalize(encode_text(texts).float(), dim=-1)
    return F.normalize(embeddings.unflatten(0, (len(class_names), -1)).mean(dim=1), dim=-1)
