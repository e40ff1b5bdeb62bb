"""The model card of an export: Markdown, with the YAML head that the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deepdraw.data import in_brackets
from deepdraw.export.background import Background
from deepdraw.export.markdown import code, escaped, table
from deepdraw.inference import Trained
from deepdraw.report import Line, SplitResults, metric_text, title
from deepdraw.runtime import shown

NUM_WORST = 10  # mistakes and names that are listed
MOST_NAMES = 1000  # that are listed
GROUPS = ("accuracy", "own metrics", "calibration")  # of metrics that a card shows


@dataclass(frozen=True)
class Sheet:
    """What the card says of one export.

    usage: the code that uses it; proof: the lines of its proof; license: of the weights, as the hub names it, None
    where nobody has said it; library: what loads it, as the hub names it; picture: the file of drawings beside the
    card, or None.
    """

    usage: str
    proof: Sequence[str]
    license: str | None = None
    library: str = "deepdraw"
    picture: str | None = None


def model_card(trained: Trained, background: Background, sheet: Sheet) -> str:
    """The model card of an export of this checkpoint. Names of classes and all that its files say are escaped."""
    title = shown(f"{trained.model.backbone.name} for {len(trained.classes):,} classes of sketches")
    lines = [
        *_head(title, background, sheet),
        f"# {escaped(title)}",
        "",
        "A network that says what a hand-drawn sketch shows, trained, evaluated and exported with deepdraw.",
        "",
        *([f"![Drawings of val, with what the network reads in them]({sheet.picture})", ""] if sheet.picture else []),
        *(["## How to use it", "", *code(sheet.usage, "python"), ""] if sheet.usage else []),
        *("## What it sees", "", _preprocessing(trained), ""),
        *("## How it was trained", "", *table(("fact", "value"), background.facts.items()), ""),
        *("## Results", "", *_results(background.results)),
        *_mistakes(background),
        *("## Proof that it is the same as its checkpoint", "", *code("\n".join(sheet.proof)), ""),
        *("## License", "", *_license(background, sheet.license), ""),
        *("## Classes", "", _names(trained.classes)),
    ]
    return "\n".join(lines) + "\n"


def _head(title: str, background: Background, sheet: Sheet) -> list[str]:
    from huggingface_hub import EvalResult, ModelCardData

    measured = [
        EvalResult("image-classification", "sketches", f"sketches, {shown(found.split)}", kind, found.metrics[key])
        for found in background.results
        for kind, key in (("accuracy", f"{found.split}/top1"), ("f1", f"{found.split}/macro_f1"))
        if key in found.metrics
    ]
    data = ModelCardData(
        license=sheet.license or "unknown",
        library_name=sheet.library,
        pipeline_tag="image-classification",
        tags=["sketch", "drawing", "deepdraw"],
        model_name=title if measured else None,
        eval_results=measured or None,
    )
    return ["---", *data.to_yaml().rstrip("\n").splitlines(), "---", ""]


def _preprocessing(trained: Trained) -> str:
    """How a drawing becomes what the network sees, and logits probabilities."""
    drawn, backbone, sentences = trained.rasterizer, trained.model.backbone, []
    if "pixels" in trained.sees:
        ink, paper = ("black", "white") if drawn.polarity == "black_on_white" else ("white", "black")
        mean, std = (", ".join(f"{x:.4g}" for x in values) for values in (backbone.mean, backbone.std))
        order = "in gray" if drawn.channels == "ink" else f"in channels that tell the order ({drawn.channels})"
        sentences += [
            f"It sees images of {drawn.size} x {drawn.size} pixels {order}: {ink} lines of {drawn.line_width:g} pixels",
            f"on {paper}, with {100 * drawn.margin:g} % of the size free on each side. Values in 0 to 1 are normalized",
            f"with the mean {mean} and the standard deviation {std}.",
        ]
    if trained.points is not None:
        sentences.append(f"It sees strokes as {trained.points.points} points along their lines.")
    if trained.temperature is not None:
        sentences.append(f"Logits are divided by the temperature {trained.temperature:.4g}, which was fitted on val.")
    return " ".join(sentences)


def _results(results: Sequence[SplitResults]) -> Iterator[str]:
    shown_lines = [(found, [line for line in found.lines if _is_result(line)]) for found in results]
    if not any(those for _, those in shown_lines):
        yield from ("None is known: the run that measured this checkpoint is not beside it.", "")
    for found, those in shown_lines:
        if not those:  # such as an evaluation of unfinished drawings alone
            continue
        rows = [(line.title, line.value, line.interval) for line in those]
        of = f", {found.checkpoint}" if found.checkpoint else ""
        yield from (escaped(f"Split {found.split} {in_brackets(found.recognition)}{of}") + ":", "")
        if any(interval for _, _, interval in rows):
            yield from table(("metric", "value", "95 % interval"), rows)
        else:
            yield from table(("metric", "value"), [row[:2] for row in rows])
            yield from ("", "Without intervals, which `evaluate.py` computes.")
        if any(line.title == title("ece") for line in those):
            yield from (
                "",
                "Log-likelihood and calibration error are without the temperature, but for those called scaled.",
            )
        yield ""


def _is_result(line: Line) -> bool:
    """Whether a card shows it. The temperature that would suit these drawings best is not that of the checkpoint."""
    return line.group in GROUPS and line.title != title("temperature")


def _mistakes(background: Background) -> Iterator[str]:
    pairs = [(*names, f"{count:,} of {total:,}") for *names, count, total in background.worst_pairs(NUM_WORST)]
    if not pairs:
        return
    classes = [
        (name, metric_text("top1", share), f"{total:,}") for name, share, total in background.worst_classes(NUM_WORST)
    ]
    yield from ("## Where it errs most", "", "On the drawings of the split test:", "")
    yield from (*table(("is", "read as", "drawings"), pairs), "")
    yield from (*table(("class", "top-1", "drawings"), classes), "")


def _license(background: Background, license: str | None) -> Iterator[str]:
    yield f"The weights: {escaped(license or 'unknown, nobody has stated it')}."
    started, encoder = (background.facts.get(title, "") for title in ("weights", "encoder"))
    if started not in ("random", ""):
        yield f"Training began with {escaped(encoder)}, {escaped(started)}, whose license holds too."


def _names(classes: Sequence[str]) -> str:
    more = f", and {len(classes) - MOST_NAMES:,} more" if len(classes) > MOST_NAMES else ""
    return f"It knows: {', '.join(escaped(name, 100) for name in classes[:MOST_NAMES])}{more}."
